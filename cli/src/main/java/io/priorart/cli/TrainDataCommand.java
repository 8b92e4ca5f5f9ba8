package io.priorart.cli;

import io.priorart.models.engine.GracefulExit;
import io.priorart.runtime.Json;
import io.priorart.runtime.dataset.DatasetBuilder;
import io.priorart.runtime.dataset.DatasetOptions;
import io.priorart.runtime.dataset.DatasetSummary;
import io.priorart.solver.PriorArtException;
import io.priorart.solver.SolveEvent;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/** {@code priorart train data}: makes a dataset for training from folders of pictures. */
@Command(
    name = "data",
    description = {
      "Makes a dataset for training from folders of pictures: OUT/train and OUT/heldout.",
      "Reads PNG, JPEG and TIFF, writes 8-bit RGB PNG files with captions in .txt files beside them,",
      "OUT/dataset.json (what it holds) and OUT/manifest.tsv (what became of each picture)."
    },
    mixinStandardHelpOptions = true)
final class TrainDataCommand implements Callable<Integer> {
  @Parameters(
      arity = "1..*",
      paramLabel = "DIR",
      description = "Folders of pictures; the folders in them are looked through, too.")
  private List<Path> sources;

  @Option(
      names = {"-o", "--out"},
      required = true,
      paramLabel = "OUT",
      description = "Folder to make; it must not exist or be empty.")
  private Path out;

  @Option(
      names = "--max-side",
      defaultValue = "1024",
      paramLabel = "N",
      description =
          "Larger pictures are scaled down until their longer side has N pixels."
              + " Default: ${DEFAULT-VALUE}")
  private int maxSide;

  @Option(
      names = "--min-side",
      defaultValue = "64",
      paramLabel = "N",
      description =
          "Pictures and copies whose shorter side has less than N pixels are left out."
              + " Default: ${DEFAULT-VALUE}")
  private int minSide;

  @Option(
      names = "--scales",
      split = ",",
      defaultValue = "1",
      paramLabel = "S",
      description = "A copy at each of these sizes, such as 1,0.5. Default: ${DEFAULT-VALUE}")
  private List<Double> scales;

  @Option(
      names = "--crop",
      defaultValue = "0",
      paramLabel = "N",
      description =
          "Cut into tiles of N x N pixels; 0 keeps pictures whole. Default: ${DEFAULT-VALUE}")
  private int crop;

  @Option(
      names = "--background",
      defaultValue = "#ffffff",
      paramLabel = "#RRGGBB",
      description = "What is behind transparent pixels. Default: ${DEFAULT-VALUE}")
  private String background;

  @Option(
      names = "--no-captions",
      description = "Write no captions. Else: the text in NAME.txt, or the words of the file name.")
  private boolean noCaptions;

  @Option(
      names = "--held-out",
      defaultValue = "0.05",
      paramLabel = "SHARE",
      description = "Share of the pictures that training must not see. Default: ${DEFAULT-VALUE}")
  private double heldOut;

  @Option(
      names = "--seed",
      defaultValue = "0",
      paramLabel = "N",
      description = "Of the held-out choice. Default: ${DEFAULT-VALUE}")
  private long seed;

  @Option(
      names = "--duplicate-distance",
      defaultValue = "6",
      paramLabel = "BITS",
      description =
          "Pictures whose perceptual hashes differ in at most so many of 64 bits are duplicates."
              + " Default: ${DEFAULT-VALUE}")
  private int duplicateDistance;

  @Option(
      names = "--exclude",
      paramLabel = "DIR",
      description =
          "Folder of pictures to keep out, with their duplicates: a test set. May be repeated.")
  private List<Path> exclude = new ArrayList<>();

  @Option(
      names = "--max-pixels",
      defaultValue = "33554432",
      paramLabel = "N",
      description =
          "Larger source pictures are skipped; reading takes about 70 bytes of memory a pixel."
              + " Default: ${DEFAULT-VALUE}")
  private long maxPixels;

  @Option(names = "--json", description = "Print what dataset.json says.")
  private boolean json;

  @Override
  public Integer call() {
    DatasetOptions options =
        new DatasetOptions(
            maxSide,
            minSide,
            scales,
            crop,
            colour(background),
            !noCaptions,
            heldOut,
            seed,
            duplicateDistance,
            maxPixels);
    DatasetSummary summary;
    List<String> unreadable = new ArrayList<>();
    try (GracefulExit.Task stop = GracefulExit.begin();
        StepBar bar = new StepBar(out.toString())) {
      summary =
          DatasetBuilder.build(
              sources,
              exclude,
              out,
              options,
              stop,
              new DatasetBuilder.Listener() {
                @Override
                public void progress(int done, int total) {
                  bar.on(new SolveEvent.Step(done, total, Double.NaN));
                }

                @Override
                public void unreadable(Path file, String problem) {
                  unreadable.add("skipped " + file + ": " + problem);
                }
              });
    } finally {
      unreadable.forEach(System.err::println);
    }
    if (json) {
      System.out.println(Json.text(summary));
    } else {
      print("train", summary.train());
      print("held out", summary.heldOut());
      summary.skipped().forEach((why, n) -> System.out.println("skipped   " + n + " " + why));
    }
    return 0;
  }

  private static void print(String side, DatasetSummary.Part part) {
    System.out.printf(
        "%-8s  %d pictures, %d files, %d captions%n",
        side, part.pictures(), part.files(), part.captions());
  }

  private static int colour(String text) {
    if (!text.matches("#?[0-9a-fA-F]{6}")) {
      throw PriorArtException.badField("background", text + " is not #RRGGBB");
    }
    return Integer.parseInt(text.substring(text.length() - 6), 16);
  }
}
