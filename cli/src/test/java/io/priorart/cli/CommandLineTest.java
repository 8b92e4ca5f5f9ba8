package io.priorart.cli;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.networknt.schema.JsonSchema;
import com.networknt.schema.JsonSchemaFactory;
import com.networknt.schema.SpecVersion;
import io.priorart.models.weights.SafetensorsFile;
import io.priorart.models.weights.SafetensorsWriter;
import io.priorart.runtime.image.Picture;
import io.priorart.runtime.image.PictureFiles;
import io.priorart.solver.HostTensor;
import io.priorart.solver.operator.Operators;
import java.awt.image.BufferedImage;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.PrintStream;
import java.io.UncheckedIOException;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.TimeUnit;
import java.util.function.BooleanSupplier;
import java.util.stream.Stream;
import javax.imageio.ImageIO;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import picocli.CommandLine;
import picocli.CommandLine.Model.OptionSpec;

/** The commands as a user types them, with a tiny random checkpoint. */
class CommandLineTest {
  private static final Path HOME = Path.of(System.getProperty("priorart.home"));
  private static final String PICTURE =
      HOME.resolve("testdata/pictures/heldout/bridge.png").toString();
  private static final String MODEL = HOME.resolve("testdata/fixtures/sd-two-level").toString();

  @TempDir private Path dir;

  private record Result(int code, String out, String err) {}

  private static Result run(String... args) {
    PrintStream out = System.out;
    PrintStream err = System.err;
    ByteArrayOutputStream outBytes = new ByteArrayOutputStream();
    ByteArrayOutputStream errBytes = new ByteArrayOutputStream();
    System.setOut(new PrintStream(outBytes, true, StandardCharsets.UTF_8));
    System.setErr(new PrintStream(errBytes, true, StandardCharsets.UTF_8));
    try {
      int code = Main.run(args);
      return new Result(
          code,
          outBytes.toString(StandardCharsets.UTF_8),
          errBytes.toString(StandardCharsets.UTF_8));
    } finally {
      System.setOut(out);
      System.setErr(err);
    }
  }

  private String file(String name) {
    return dir.resolve(name).toString();
  }

  private void degrade(String out, String... options) {
    List<String> args = new ArrayList<>(List.of("degrade", PICTURE, "-o", file(out)));
    args.addAll(Arrays.asList(options));
    Result result = run(args.toArray(String[]::new));
    assertEquals(0, result.code(), result.err());
  }

  @Test
  void inpaintingKeepsEveryKnownPixel() throws IOException {
    degrade("y.png", "--operator", "inpainting:random=0.5", "--seed", "4");
    Result restored =
        restore("-o", file("x.png"), "--model", MODEL, "--steps", "3", "--report", file("r.json"));
    assertEquals(0, restored.code(), restored.err());
    JsonNode report = new ObjectMapper().readTree(dir.resolve("r.json").toFile());
    JsonNode sample = report.path("samples").get(0);
    assertEquals(0, sample.path("changed_known_pixels").asInt(-1));
    assertEquals(3, sample.path("evaluations").path("denoise").asInt());
    assertEquals("consistent", sample.path("verdict").path("judgement").asText());
    assertEquals(64, report.path("model").path("sha256").asText().length());
    Result compared =
        run("compare", PICTURE, file("x.png"), "--mask", file("y.mask.png"), "--json");
    assertTrue(
        new ObjectMapper().readTree(compared.out()).path("psnr_outside").asDouble() > 90
            || compared.out().contains("Infinity"),
        compared.out());
  }

  /** Of what {@link #degrade} left as {@code y.png}. */
  private Result restore(String... options) {
    String[] common = {"restore", file("y.png"), "--problem", file("y.problem.json")};
    return run(with(common, options));
  }

  private JsonNode restored(String... options) throws IOException {
    String[] common = {"--model", MODEL, "--precision", "float32", "--json"};
    Result result = restore(with(common, options));
    assertEquals(0, result.code(), result.err());
    return new ObjectMapper().readTree(result.out());
  }

  @Test
  void colourThatWasTakenOutComesBackAsColour() {
    degrade("grey.png", "--operator", "grayscale");
    assertEquals(1, PictureFiles.read(Path.of(file("grey.png")), 1 << 20).channels());
    Result result =
        run(
            "restore",
            file("grey.png"),
            "-o",
            file("colour.png"),
            "--problem",
            file("grey.problem.json"),
            "--solver",
            "prox-diffusion",
            "--steps",
            "2",
            "--model",
            MODEL);
    assertEquals(0, result.code(), result.err());
    Picture restored = PictureFiles.read(Path.of(file("colour.png")), 1 << 20);
    assertEquals(3, restored.channels());
    assertEquals(256, restored.width());
    Result colour =
        run("restore", PICTURE, "-o", file("no.png"), "--operator", "grayscale", "--sigma", "0.1");
    assertEquals(2, colour.code());
    assertTrue(colour.err().contains("must be a grey picture"), colour.err());
  }

  @Test
  void samplesOfABatchAreThoseOfTheirSeeds() throws IOException {
    degrade("y.png", "--operator", "inpainting:random=0.5", "--seed", "4");
    JsonNode both = restored("-o", file("x.png"), "--steps", "3", "--samples", "2", "--seed", "7");
    assertEquals(2, both.path("batch").asInt());
    assertEquals(8, both.path("samples").get(1).path("seed").asInt());
    assertEquals(3, both.path("samples").get(1).path("evaluations").path("denoise").asInt());
    restored("-o", file("one.png"), "--steps", "3", "--seed", "8");
    BufferedImage batched = ImageIO.read(dir.resolve("x.sample1.png").toFile());
    BufferedImage alone = ImageIO.read(dir.resolve("one.png").toFile());
    BufferedImage first = ImageIO.read(dir.resolve("x.sample0.png").toFile());
    assertTrue(farthest(batched, alone) <= 1, "differ by " + farthest(batched, alone));
    assertTrue(farthest(batched, first) > 10);
  }

  /** Largest difference of a channel, in steps of 8 bits. */
  private static int farthest(BufferedImage a, BufferedImage b) {
    int most = 0;
    for (int y = 0; y < a.getHeight(); y++) {
      for (int x = 0; x < a.getWidth(); x++) {
        for (int shift = 0; shift <= 16; shift += 8) {
          int d = (a.getRGB(x, y) >> shift & 0xff) - (b.getRGB(x, y) >> shift & 0xff);
          most = Math.max(most, Math.abs(d));
        }
      }
    }
    return most;
  }

  /** What a spent budget gives, StoppingTest says without a clock. */
  @Test
  void aBudgetIsADurationAndMarksNothingThatEnds() throws IOException {
    degrade("y.png", "--operator", "inpainting:random=0.5", "--seed", "4");
    JsonNode whole = restored("-o", file("w.png"), "--steps", "2", "--budget", "1h");
    assertTrue(whole.path("samples").get(0).path("cut_short_after").isMissingNode());
    Result refused = restore("-o", file("z.png"), "--budget", "soon");
    assertEquals(2, refused.code());
    assertTrue(refused.err().contains("budget"), refused.err());
  }

  @Test
  void aStateIsAFileOfItsOwn() throws IOException {
    degrade("y.png", "--operator", "inpainting:random=0.5", "--seed", "4");
    String[] common = {"-o", file("x.png"), "--steps", "2", "--model", MODEL};
    byte[] measured = Files.readAllBytes(dir.resolve("y.png"));
    Result photograph = restore(with(common, "--state", file("y.png")));
    assertEquals(2, photograph.code());
    assertTrue(photograph.err().contains("state: "), photograph.err());
    assertArrayEquals(measured, Files.readAllBytes(dir.resolve("y.png")));
    Result nowhere = restore(with(common, "--state", file("nowhere/state")));
    assertEquals(2, nowhere.code());
    assertTrue(nowhere.err().contains("there is no folder"), nowhere.err());
    Result whole = restore(with(common, "--state", file("state")));
    assertEquals(0, whole.code(), whole.err());
    assertTrue(Files.exists(dir.resolve("x.png")));
    assertFalse(Files.exists(dir.resolve("state")));
  }

  /** The budget's choice looks at the operators before anything else does. */
  @Test
  void aBudgetForOperatorsThatAreWrongNamesThem() {
    degrade("y.png", "--operator", "super-resolution:factor=4");
    Result wrong =
        run(
            "restore",
            file("y.png"),
            "-o",
            file("x.png"),
            "--operator",
            "super-resolution:factor=abc",
            "--sigma",
            "0.01",
            "--budget",
            "20s");
    assertEquals(2, wrong.code());
    assertTrue(wrong.err().contains("operators[0].factor"), wrong.err());
  }

  /** What is restored keeps its report, whatever happens to the next picture. */
  @Test
  void aPictureThatFailsCostsNoReportOfThoseBefore() throws IOException {
    degrade("y.png", "--operator", "identity", "--sigma", "0.05");
    Files.writeString(dir.resolve("z.png"), "no picture");
    Path out = Files.createDirectory(dir.resolve("out"));
    Result half =
        restore(
            file("z.png"), "-o", out.toString(), "--solver", "wiener", "--report", file("r.json"));
    assertEquals(2, half.code());
    JsonNode reports = new ObjectMapper().readTree(dir.resolve("r.json").toFile());
    assertEquals(1, reports.size());
    assertEquals(file("y.png"), reports.get(0).path("input").asText());
  }

  /** A scale without effect costs nothing: prompt and negative prompt are the same. */
  @Test
  void equalPromptsAreEvaluatedOnce() throws IOException {
    degrade("y.png", "--operator", "inpainting:random=0.5", "--seed", "4");
    for (String prompt : new String[] {"", "a cat"}) {
      JsonNode report =
          restored(
              "-o",
              file(prompt + "x.png"),
              "--steps",
              "2",
              "--guidance-scale",
              "3",
              "--prompt",
              prompt);
      int calls = report.path("samples").get(0).path("evaluations").path("denoise").asInt();
      assertEquals(prompt.isEmpty() ? 2 : 4, calls);
    }
  }

  @Test
  void solversCiteTheirPapersOnce() {
    String papers = run("solvers", "--bibtex").out();
    assertTrue(papers.contains("@inproceedings{chung2023dps,"), papers);
    assertTrue(papers.contains("eprint = {2209.14687}"), papers);
    String latino = "spagnoletti2025latino";
    assertEquals(papers.indexOf(latino), papers.lastIndexOf(latino), "cited by two solvers");
    assertTrue(papers.contains("@article{zhang2021dpir,"), papers);
    assertTrue(papers.contains("journal = {TPAMI}"), papers);
    assertTrue(papers.contains("@book{wiener1949,"), papers);
    assertTrue(run("inversions", "--bibtex").out().contains("{mokady2023nulltext,"));
  }

  @Test
  void aServerThatIsNotThereIsNamed() throws IOException {
    int free;
    try (ServerSocket socket = new ServerSocket(0, 1, InetAddress.getLoopbackAddress())) {
      free = socket.getLocalPort();
    }
    degrade("y.png", "--operator", "inpainting:random=0.5");
    Result gone = restore("-o", file("x.png"), "--server", "127.0.0.1:" + free);
    assertEquals(1, gone.code());
    assertTrue(gone.err().contains("server 127.0.0.1:" + free), gone.err());
    Result misspelt = restore("-o", file("x.png"), "--server", "http://localhost:8980");
    assertEquals(2, misspelt.code());
    assertTrue(misspelt.err().contains("HOST:PORT"), misspelt.err());
    assertFalse(Files.exists(dir.resolve("x.png")));
  }

  @Test
  void serveRefusesWhatItCannotServeBeforeItStarts() throws IOException {
    try (ServerSocket taken = new ServerSocket(0, 1, InetAddress.getLoopbackAddress())) {
      Result inUse = run("serve", "--port", Integer.toString(taken.getLocalPort()));
      assertEquals(2, inUse.code());
      assertTrue(inUse.err().contains("port: cannot listen on 127.0.0.1"), inUse.err());
    }
    assertTrue(run("serve", "--slots", "0").err().contains("slots: must be 1 to 1024, was 0"));
    Result unknown = run("serve", "--port", "0", "--model", file("nowhere"));
    assertEquals(2, unknown.code());
    assertTrue(unknown.err().contains("nowhere"), unknown.err());
  }

  @Test
  void aSampleEqualsItsSoloRun() throws IOException {
    degrade("y.png", "--operator", "super-resolution:factor=4", "--sigma", "0.01");
    String[] common = {"--model", MODEL, "--steps", "2"};
    assertEquals(
        0, restore(with(common, "-o", file("x.png"), "--samples", "2", "--seed", "7")).code());
    assertEquals(0, restore(with(common, "-o", file("solo.png"), "--seed", "8")).code());
    assertEquals(
        -1, Files.mismatch(dir.resolve("x.sample1.png"), dir.resolve("solo.png")), "seed 7 + 1");
    assertTrue(Files.exists(dir.resolve("x.mean.png")) && Files.exists(dir.resolve("x.std.png")));
  }

  private static String[] with(String[] common, String... more) {
    String[] all = Arrays.copyOf(common, common.length + more.length);
    System.arraycopy(more, 0, all, common.length, more.length);
    return all;
  }

  @Test
  void badInputIsNamedAndNothingIsWritten() throws IOException {
    degrade("y.png", "--operator", "gaussian-blur:sigma=2", "--sigma", "0.01");
    String y = file("y.png");
    String x = file("x.png");
    refused("sigma", "restore", y, "-o", x, "--operator", "gaussian-blur:sigma=2");
    refused(
        "gaussian-blur",
        "restore",
        y,
        "-o",
        x,
        "--sigma",
        "0",
        "--operator",
        "gausian-blur:sigma=2");
    refused(
        "tv", "restore", y, "-o", x, "--sigma", "0", "--operator", "identity", "--solver", "tw");
    refused("NaN", "restore", y, "-o", x, "--sigma", "NaN", "--operator", "identity");
    refused(
        "steps", "restore", y, "-o", x, "--sigma", "0", "--operator", "identity", "--steps", "0");
    refused("exists", "restore", y, "-o", y, "--sigma", "0", "--operator", "identity");
    refused(
        "no such file",
        "restore",
        file("none.png"),
        "-o",
        x,
        "--sigma",
        "0",
        "--operator",
        "identity");
    refused("exactly one inpainting", "restore", y, "-o", x, "--mask", y);
    refused("lossy", "restore", y, "-o", file("x.jpg"), "--operator", "inpainting", "--mask", y);
    degrade("half.png", "--operator", "super-resolution:factor=2");
    refused("sizes must agree", "compare", y, file("half.png"));
    Path truncated = dir.resolve("truncated.png");
    byte[] bytes = Files.readAllBytes(Path.of(PICTURE));
    Files.write(truncated, Arrays.copyOf(bytes, bytes.length / 2));
    refused(
        "truncated",
        "restore",
        truncated.toString(),
        "-o",
        x,
        "--sigma",
        "0",
        "--operator",
        "identity");
    assertFalse(Files.exists(dir.resolve("x.png")));
  }

  private static void refused(String words, String... args) {
    Result result = run(args);
    assertEquals(2, result.code(), String.join(" ", args) + "\n" + result.err());
    assertTrue(result.err().contains(words), words + " in: " + result.err());
    assertFalse(result.err().contains("\tat "), "no stack trace: " + result.err());
  }

  @Test
  void theCatalogueNamesEveryParameter() throws IOException {
    JsonNode solvers = new ObjectMapper().readTree(run("solvers", "--json").out());
    assertEquals("dpir", solvers.get(0).path("name").asText());
    assertTrue(solvers.get(0).path("parameters").size() > 0);
    JsonNode operators = new ObjectMapper().readTree(run("operators", "--json").out());
    assertEquals(Operators.list().size(), operators.size());
    assertEquals(2, run("solver").code());
    assertEquals(0, run("restore", "--help").code());
  }

  @Test
  void theReferenceIsWhatTheCatalogueSays() throws IOException {
    for (String page : List.of("solvers", "operators", "inversions")) {
      String committed = Files.readString(HOME.resolve("docs/reference").resolve(page + ".md"));
      assertEquals(
          committed,
          run(page, "--markdown").out(),
          "./priorart " + page + " --markdown > docs/reference/" + page + ".md");
    }
  }

  @Test
  void everyOptionIsExplained() {
    explained(Main.commandLine());
  }

  private static void explained(CommandLine command) {
    for (OptionSpec option : command.getCommandSpec().options()) {
      String text = String.join(" ", option.description()).replaceFirst("^Default:.*", "");
      assertFalse(text.isBlank(), command.getCommandName() + " " + option.longestName());
    }
    command.getSubcommands().values().forEach(CommandLineTest::explained);
  }

  @Test
  void benchPlotsCurves() throws IOException {
    Files.writeString(dir.resolve("a.csv"), "step,loss\n1,2\n2,1\n");
    Files.writeString(dir.resolve("b.csv"), "step,loss\n1,3\n2,2\n");
    String[] curve = {"bench", "curve", file("a.csv"), file("b.csv"), "-o", file("c.svg"), "--log"};
    assertEquals(0, run(curve).code());
    String svg = Files.readString(dir.resolve("c.svg"));
    assertTrue(svg.contains(">a<") && svg.contains(">b<"), svg);
    refused("exists", curve);
    assertEquals(0, run(with(curve, "--force", "--column", "step")).code());
    assertNotEquals(svg, Files.readString(dir.resolve("c.svg")));
    refused("output: must end in .svg", "bench", "curve", file("a.csv"), "-o", file("c.png"));
  }

  @Test
  void benchGoesOnWhereItStopped() throws IOException {
    Path pictures = Files.createDirectory(dir.resolve("pictures"));
    assertEquals(
        0,
        run(
                "degrade",
                PICTURE,
                "-o",
                pictures.resolve("small.png").toString(),
                "--operator",
                "super-resolution:factor=4")
            .code());
    Files.delete(pictures.resolve("small.problem.json"));
    String[] common = {
      "bench",
      "quality",
      "--pictures",
      pictures.toString(),
      "--tuning",
      pictures.toString(),
      "--model",
      MODEL,
      "--task",
      "inpainting-70",
      "--task",
      "identity@0.05",
      "--solver",
      "opencv-telea",
      "--results",
      file("runs.jsonl")
    };
    assertEquals(0, run(common).code());
    // five radii on the tuning picture, one on the reported picture; identity does not suit it
    List<String> first = Files.readAllLines(dir.resolve("runs.jsonl"));
    assertEquals(6, first.size());
    Result more = run(with(common, "--solver", "prox-diffusion", "--json"));
    assertEquals(0, more.code(), more.err());
    List<String> second = Files.readAllLines(dir.resolve("runs.jsonl"));
    assertEquals(first, second.subList(0, 6), "kept, not run again");
    assertEquals(8, second.size());
    JsonSchema schema =
        JsonSchemaFactory.getInstance(SpecVersion.VersionFlag.V202012)
            .getSchema(Files.readString(HOME.resolve("docs/design/bench-quality.schema.json")));
    JsonNode json = new ObjectMapper().readTree(more.out());
    assertEquals(Set.of(), schema.validate(json));
    assertEquals(3, json.path("summary").size());

    Result kept =
        run(with(common, "--solver", "prox-diffusion", "--solver", "tv", "--kept-only", "--json"));
    assertEquals(0, kept.code(), kept.err());
    assertTrue(kept.err().contains("inpainting-70 without tv"), kept.err());
    assertEquals(json.path("summary"), new ObjectMapper().readTree(kept.out()).path("summary"));
    assertEquals(second, Files.readAllLines(dir.resolve("runs.jsonl")), "nothing was run");
    for (JsonNode made : json.path("runs")) {
      assertTrue(made.path("gmsd").asDouble() > 0, made.toString());
      assertTrue(made.path("peak_bytes").asLong() > 50 << 20, made.toString());
      assertTrue(made.path("ms_ssim").isNull(), "too small for five scales");
    }
    Files.writeString(
        dir.resolve("runs.jsonl"),
        Files.readString(dir.resolve("runs.jsonl"))
            .replaceAll("\"(msSsim|gmsd|peakBytes)\":[^,]+,", ""));
    Result older = run(common);
    assertFalse(older.err().contains(" run, "), "runs without MS-SSIM are kept: " + older.err());
    assertTrue(older.out().contains(" | - | - | "), older.out());
    Files.writeString(dir.resolve("notes.md"), "## What was tried\n");
    refused("markdown", with(common, "--notes", file("notes.md")));
    String[] withPage = with(common, "--markdown", file("page.md"), "--notes");
    refused("notes", with(withPage, file("missing.md")));
    assertEquals(0, run(with(withPage, file("notes.md"))).code());
    String tables = Files.readString(dir.resolve("page.md"));
    assertTrue(tables.contains("opencv-telea"));
    assertTrue(tables.endsWith("\n## What was tried\n"), tables);
    refused("exists", with(common, "--markdown", file("page.md")));
    String[] gallery = with(common, "--solver", "prox-diffusion", "--gallery", file("gallery"));
    Result shown = run(gallery);
    assertEquals(0, shown.code(), shown.err());
    String page = Files.readString(dir.resolve("gallery/README.md"));
    assertTrue(page.contains("1-inpainting-70-1.jpg"), page);
    assertTrue(
        page.contains("Here no baseline ran."), "identity suits no baseline that ran: " + page);
    Picture strip = PictureFiles.read(dir.resolve("gallery/1-inpainting-70-1.jpg"), 1 << 20);
    assertEquals(3 * strip.height() + 8, strip.width());
    refused("exists", gallery);
    assertEquals(0, run(with(gallery, "--force")).code());
    refused("gallery-solver", with(gallery, "--force", "--gallery-solver", "opencv-telea"));
    refused("gallery-solver", with(gallery, "--force", "--gallery-solver", "dps"));
    refused("inpainting-70", with(common, "--task", "inpainting-7"));
    Files.writeString(dir.resolve("runs.jsonl"), "{}\n");
    refused("runs.jsonl:1", common);
  }

  /** Starts the command in a process of its own; its output goes to the file {@code log}. */
  private Process start(String... args) throws IOException {
    List<String> command =
        new ArrayList<>(
            List.of(
                Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                "-Dai.djl.offline=true",
                "-Dai.djl.pytorch.num_threads=1",
                "-cp",
                System.getProperty("java.class.path"),
                "io.priorart.cli.Main"));
    command.addAll(List.of(args));
    return new ProcessBuilder(command)
        .directory(dir.toFile())
        .redirectErrorStream(true)
        .redirectOutput(dir.resolve("log").toFile())
        .start();
  }

  /** SIGTERM once {@code running} says so: exit code 143, no crash report, no partial file. */
  private void terminate(Process process, BooleanSupplier running) throws Exception {
    for (int i = 0; i < 1200 && !running.getAsBoolean() && process.isAlive(); i++) {
      TimeUnit.MILLISECONDS.sleep(50);
    }
    assertTrue(running.getAsBoolean(), Files.readString(dir.resolve("log")));
    process.destroy();
    assertTrue(process.waitFor(60, TimeUnit.SECONDS));
    assertEquals(143, process.exitValue(), Files.readString(dir.resolve("log")));
    try (Stream<Path> files = Files.walk(dir)) {
      List<String> names = files.map(f -> f.getFileName().toString()).toList();
      assertFalse(
          names.stream().anyMatch(n -> n.startsWith("hs_err") || n.endsWith(".part")),
          names.toString());
    }
  }

  @Test
  void modelsAreInspectedAndVerified() throws IOException {
    ObjectMapper mapper = new ObjectMapper();
    Result inspected = run("model", "inspect", MODEL, "--json");
    assertEquals(0, inspected.code(), inspected.err());
    JsonNode found = mapper.readTree(inspected.out());
    assertEquals("StableDiffusionPipeline", found.path("family").asText());
    long parameters = 0;
    for (JsonNode part : found.path("parts")) {
      parameters += part.path("parameters").asLong();
    }
    assertEquals(3, found.path("parts").size());
    assertTrue(run("model", "inspect", "--model", MODEL).out().contains("unet"));
    Result verified = run("model", "verify", MODEL, "--side", "16", "--json");
    assertEquals(0, verified.code(), verified.err());
    assertTrue(mapper.readTree(verified.out()).path("passed").asBoolean());
    refused("side", "model", "verify", MODEL, "--side", "4");
    Path unet = Path.of(MODEL, "unet/diffusion_pytorch_model.safetensors");
    refused("tensors like", "model", "inspect", unet.toString());
    refused("lora", "model", "verify", MODEL, "--lora", unet + ":0.5");
    refused("no auto-encoder", "model", "verify", MODEL, "--vae", unet.toString());
    assertTrue(parameters > 0);
    // a network that gives what is not finite
    Path broken = Files.createDirectories(dir.resolve("broken"));
    try (Stream<Path> files = Files.walk(Path.of(MODEL))) {
      for (Path file : files.filter(Files::isRegularFile).toList()) {
        Path copy = broken.resolve(Path.of(MODEL).relativize(file));
        Files.createDirectories(copy.getParent());
        Files.copy(file, copy);
      }
    }
    Path weights = broken.resolve("unet/diffusion_pytorch_model.safetensors");
    SafetensorsFile whole = SafetensorsFile.open(weights);
    Map<String, HostTensor> tensors = new LinkedHashMap<>();
    whole.shapes().keySet().forEach(name -> tensors.put(name, whole.read(name)));
    tensors.get("conv_out.bias").values()[0] = Float.NaN;
    SafetensorsWriter.write(weights, tensors, Map.of(), false);
    Result failed = run("model", "verify", broken.toString(), "--side", "16");
    assertEquals(1, failed.code(), failed.err());
    assertTrue(failed.out().contains("NOT FINITE"), failed.out());
  }

  @Test
  void sigtermLeavesNoPartialOutputAndNoCrash() throws Exception {
    degrade("y.png", "--operator", "gaussian-blur:sigma=2", "--sigma", "0.01");
    Process process =
        start(
            "restore",
            file("y.png"),
            "-o",
            file("x.png"),
            "--problem",
            file("y.problem.json"),
            "--model",
            MODEL,
            "--steps",
            "1000",
            "--preview-dir",
            dir.toString());
    terminate(process, () -> Files.exists(dir.resolve("y.step0002.png")));
    assertFalse(Files.exists(dir.resolve("x.png")));
  }

  @Test
  void sigtermInATrainingLeavesAReadableState() throws Exception {
    String[] train = {
      "train",
      "autoencoder",
      "--data",
      HOME.resolve("testdata/pictures/tuning").toString(),
      "-o",
      file("prior"),
      "--channels",
      "8,16",
      "--patch",
      "16",
      "--batch",
      "2"
    };
    Process process = start(with(train, "--minutes", "30"));
    terminate(
        process,
        () -> {
          try {
            return Files.readString(dir.resolve("log")).contains("step 100 ");
          } catch (IOException e) {
            throw new UncheckedIOException(e);
          }
        });
    Path folder = dir.resolve("prior.state/autoencoder");
    long steps = steps(folder.resolve("vae.safetensors"));
    assertTrue(steps >= 100, steps + " steps");
    Path weights = dir.resolve("prior/vae/diffusion_pytorch_model.safetensors");
    assertTrue(Files.exists(weights), "an interrupted lap ends in a checkpoint, too");
    Result again = run(train);
    assertEquals(2, again.code(), again.err());
    assertTrue(again.err().contains("train resume"), again.err());
    byte[] before = Files.readAllBytes(weights);
    Result resumed = run("train", "resume", folder.toString(), "--minutes", "0.02");
    assertEquals(0, resumed.code(), resumed.err());
    assertTrue(steps(folder.resolve("vae.safetensors")) > steps);
    assertFalse(Arrays.equals(before, Files.readAllBytes(weights)));
    JsonNode json = new ObjectMapper().readTree(folder.resolve("training.json").toFile());
    assertEquals("autoencoder", json.path("kind").asText());
    assertEquals("8,16", json.path("options").path("--channels").asText());
    assertTrue(json.path("laps").get(0).path("interrupted").asBoolean());
    assertFalse(json.path("laps").get(1).path("interrupted").asBoolean());
    Files.createFile(Files.createDirectories(dir.resolve("taken")).resolve("x"));
    Result other =
        run(
            "train",
            "resume",
            "--from",
            file("prior"),
            "--data",
            HOME.resolve("testdata/pictures/tuning").toString(),
            "-o",
            file("taken"));
    assertEquals(2, other.code(), other.err());
    assertTrue(other.err().contains("not overwritten"), other.err());
  }

  @Test
  void evaluationsRepeatAndNameWhatIsWrong() throws IOException {
    String data = HOME.resolve("testdata/pictures/tuning").toString();
    String[] eval = {"train", "eval", MODEL, "--data", data, "--side", "32", "--limit", "2"};
    Result first = run(with(eval, "--json"));
    assertEquals(0, first.code(), first.err());
    JsonNode figures = new ObjectMapper().readTree(first.out());
    assertEquals(2, figures.path("pictures").asInt());
    assertEquals(10, figures.path("diffusion").path("ranges").size());
    assertTrue(figures.path("autoencoder").path("psnr").asDouble() > 5, first.out());
    assertTrue(figures.path("denoiser").isNull(), first.out());
    assertEquals(first.out(), run(with(eval, "--json")).out());
    assertTrue(run(eval).out().contains(" 900 to  999"), "a table without --json");
    Result none = run("train", "eval", file("none"), "--data", data);
    assertEquals(2, none.code(), none.err());
    assertTrue(none.err().contains("model: " + file("none")), none.err());
    Result side = run(with(eval, "--seed=1", "--side=0"));
    assertEquals(2, side.code(), side.err());
  }

  @Test
  void aCheckpointIsTrainedOnWithOtherOptions() throws IOException {
    String data = HOME.resolve("testdata/pictures/tuning").toString();
    String[] codec = {
      "train", "autoencoder", "--data", data, "-o", file("flow"), "--channels", "8,16"
    };
    Result trained = run(with(codec, "--patch=16", "--batch=2", "--minutes=0.005"));
    assertEquals(0, trained.code(), trained.err());
    String[] diffusion = {
      "train", "diffusion", "--data", data, "-o", file("flow"), "--channels", "16,32", "--target"
    };
    String[] small = {"--text-width=16", "--text-layers=1", "--latent-patch=8", "--minutes=0.005"};
    trained = run(with(with(diffusion, "flow", "--batch=2"), small));
    assertEquals(0, trained.code(), trained.err());
    String[] resume = {
      "train",
      "resume",
      "--from",
      file("flow"),
      "--data",
      data,
      "-o",
      file("more"),
      "--minutes",
      "0.005",
      "--seed",
      "7",
      "--batch",
      "3",
      "--latent-patch",
      "8",
      "--min-snr",
      "5"
    };
    Result wrong = run(with(resume, "--squared"));
    assertEquals(2, wrong.code());
    assertTrue(wrong.err().contains("'--squared'"), wrong.err());
    assertFalse(Files.exists(dir.resolve("more")));
    Result resumed = run(resume);
    assertEquals(0, resumed.code(), resumed.err());
    Path state = dir.resolve("more.state/diffusion");
    JsonNode json = new ObjectMapper().readTree(state.resolve("training.json").toFile());
    assertEquals(7, json.path("seed").asInt());
    assertEquals("3", json.path("options").path("--batch").asText());
    assertEquals("5.0", json.path("options").path("--min-snr").asText());
    assertEquals("FLOW", json.path("options").path("--target").asText());
    Result fixed = run("train", "resume", state.toString(), "--batch", "4");
    assertEquals(2, fixed.code());
    assertTrue(fixed.err().contains("batch: belongs to the training"), fixed.err());
  }

  private static long steps(Path state) {
    return Long.parseLong(SafetensorsFile.open(state).metadata().get("step"));
  }

  @Test
  void aDatasetIsMadeAndNotOverwritten() throws IOException {
    Path source = HOME.resolve("testdata/pictures/tuning");
    Path mixed = Files.createDirectory(dir.resolve("mixed"));
    for (String name : List.of("wine", "dune", "storm")) {
      Files.copy(source.resolve(name + ".png"), mixed.resolve(name + ".png"));
    }
    Files.copy(Path.of(PICTURE), mixed.resolve("bridge.png"));
    Files.writeString(mixed.resolve("broken.jpg"), "no picture");
    String[] data = {
      "train",
      "data",
      mixed.toString(),
      "-o",
      file("set"),
      "--held-out",
      "0",
      "--scales",
      "1,0.5",
      "--exclude",
      HOME.resolve("testdata/pictures/heldout").toString(),
      "--json"
    };
    Result made = run(data);
    assertEquals(0, made.code(), made.err());
    JsonNode summary = new ObjectMapper().readTree(made.out());
    assertEquals(summary, new ObjectMapper().readTree(dir.resolve("set/dataset.json").toFile()));
    assertEquals(3, summary.path("train").path("pictures").asInt());
    assertEquals(6, summary.path("train").path("files").asInt());
    assertEquals(1, summary.path("skipped").path("excluded").asInt());
    assertEquals(1, summary.path("skipped").path("unreadable").asInt());
    assertTrue(made.err().contains("broken.jpg: is not a PNG"), made.err());
    Result again = run(data);
    assertEquals(2, again.code());
    assertTrue(again.err().contains("out: "), again.err());
    Result nothing = run("train", "data", source.toString(), "-o", file("n"), "--min-side", "300");
    assertEquals(2, nothing.code());
    assertTrue(nothing.err().contains("too_small=4"), nothing.err());
    assertFalse(Files.exists(dir.resolve("n")));
    assertEquals(
        2, run("train", "data", source.toString(), "-o", file("n"), "--background", "red").code());
  }
}
