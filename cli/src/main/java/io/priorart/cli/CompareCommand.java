package io.priorart.cli;

import io.priorart.runtime.Comparison;
import io.priorart.runtime.Json;
import io.priorart.runtime.Limits;
import io.priorart.runtime.image.Picture;
import io.priorart.runtime.image.PictureFiles;
import io.priorart.solver.HostTensor;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.Locale;
import java.util.Map;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/** {@code priorart compare}. */
@Command(
    name = "compare",
    description = "Says how alike two pictures of one size are: PSNR, SSIM, MS-SSIM, GMSD.",
    mixinStandardHelpOptions = true)
final class CompareCommand implements Callable<Integer> {
  @Parameters(index = "0", paramLabel = "A")
  private Path a;

  @Parameters(index = "1", paramLabel = "B")
  private Path b;

  @Option(
      names = "--mask",
      paramLabel = "M",
      description = "PSNR inside (white) and outside apart.")
  private Path mask;

  @Option(names = "--json", description = "Print JSON; what does not apply is null.")
  private boolean json;

  @Override
  public Integer call() {
    Picture first = PictureFiles.read(a, Limits.PIXELS);
    Picture second = PictureFiles.read(b, Limits.PIXELS);
    HostTensor inside = mask == null ? null : PictureFiles.readMask(mask, Limits.PIXELS);
    Comparison c = Comparison.of(first, second, inside);
    Map<String, Double> values = new LinkedHashMap<>();
    values.put("psnr", c.psnr());
    values.put("ssim", c.ssim());
    values.put("ms_ssim", c.msSsim());
    values.put("gmsd", c.gmsd());
    if (inside != null) {
      values.put("psnr_inside", c.psnrInside());
      values.put("psnr_outside", c.psnrOutside());
    }
    if (json) {
      Map<String, Object> finite = new LinkedHashMap<>();
      values.forEach((k, v) -> finite.put(k, v.isInfinite() ? "Infinity" : v.isNaN() ? null : v));
      System.out.println(Json.text(finite));
    } else {
      values.forEach(
          (k, v) ->
              System.out.println(
                  k + "  " + (v.isNaN() ? "-" : String.format(Locale.ROOT, "%.4f", v))));
    }
    return 0;
  }
}
