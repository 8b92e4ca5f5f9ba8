package io.priorart.cli;

import io.priorart.runtime.OperatorRequest;
import io.priorart.solver.PriorArtException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import picocli.CommandLine.Option;

/** The operators of a command line. */
final class OperatorOptions {
  @Option(
      names = "--operator",
      paramLabel = "NAME[:key=value,...]",
      description = {
        "What happened to the picture; several compose in the order given.",
        "See 'priorart operators'."
      })
  private List<String> operators = new ArrayList<>();

  @Option(
      names = "--mask",
      paramLabel = "M",
      description = "Short for mask=M of the one inpainting operator; white is missing.")
  private Path mask;

  boolean isEmpty() {
    return operators.isEmpty() && mask == null;
  }

  /** What was asked for, files not read yet. */
  List<OperatorRequest> requests() {
    List<OperatorRequest> requests =
        new ArrayList<>(operators.stream().map(OperatorRequest::parse).toList());
    if (mask == null) {
      return requests;
    }
    List<OperatorRequest> inpainting =
        requests.stream().filter(r -> r.name().equals("inpainting")).toList();
    if (inpainting.size() != 1) {
      throw PriorArtException.badField(
          "mask",
          "needs exactly one inpainting operator, there are "
              + inpainting.size()
              + "; write --operator inpainting:mask=FILE");
    }
    int at = requests.indexOf(inpainting.get(0));
    requests.set(at, requests.get(at).with("mask", mask.toString()));
    return requests;
  }
}
