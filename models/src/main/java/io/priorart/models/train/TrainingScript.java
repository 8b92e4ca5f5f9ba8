package io.priorart.models.train;

import io.priorart.models.engine.CompileOptions;
import io.priorart.models.engine.Graph;
import io.priorart.models.engine.Script;
import io.priorart.models.engine.ScriptBuilder;
import io.priorart.models.engine.Value;
import io.priorart.models.network.ConvexPotential;
import java.util.List;

/**
 * A whole training step as one script call: forward, loss, gradients, gradient clipping, AdamW
 * (Loshchilov and Hutter 2019, arXiv 1711.05101), a projection of the weights that must not be
 * negative, and an exponential moving average of the weights.
 */
final class TrainingScript {
  static final double BETA1 = 0.9;
  static final double BETA2 = 0.99;
  static final double WEIGHT_DECAY = 0.01;
  static final double MAX_GRADIENT_NORM = 1.0;

  private TrainingScript() {}

  /**
   * A builder with the optimiser's state beside the weights. {@code statistics} holds one number
   * for a loss that follows a running mean; it begins at zero.
   */
  static ScriptBuilder builder(String className, CompileOptions options) {
    return ScriptBuilder.trainable(className, options)
        .listAttribute("m")
        .listAttribute("v")
        .listAttribute("steps")
        .listAttribute("ema")
        .listAttribute("statistics");
  }

  /**
   * A loss and the weights that it trains: {@code from} to {@code to} of the script's list. Their
   * gradient is clipped by itself.
   */
  record Part(Value loss, int from, int to) {}

  /** Ends the method {@code step}: minimises {@code loss} over all weights. */
  static Script finish(ScriptBuilder builder, Graph g, Value loss, Value hyper, Value... terms) {
    Part all = new Part(loss, 0, builder.weightCount());
    return finish(builder, g, List.of(all), hyper, terms);
  }

  /**
   * Ends the method {@code step}: minimises each part's loss over its own weights.
   *
   * @param parts cover the script's weights in their order, but for the first few if those are to
   *     stay; the first one's loss and gradient norm are reported
   * @param hyper float32 {@code [2]}: learning rate, decay of the moving average
   * @param terms parts of the loss to report
   */
  static Script finish(
      ScriptBuilder builder, Graph g, List<Part> parts, Value hyper, Value... terms) {
    Value ws = g.assign("self.ws");
    int first = parts.get(0).from();
    int end = parts.get(parts.size() - 1).to();
    for (String list : new String[] {"m", "v", "ema", "steps"}) {
      g.statement("%s = torch.slice(self.%s, %d, %d)".formatted(list, list, first, end));
    }
    g.statement("lr = torch.reshape(torch.slice(" + hyper + ", 0, 0, 1), annotate(List[int], []))");
    g.statement(
        "decay = torch.reshape(torch.slice(" + hyper + ", 0, 1, 2), annotate(List[int], []))");
    g.statement("gs = annotate(List[Tensor], [])");
    g.statement("ps = annotate(List[Tensor], [])");
    g.statement("for i in range(" + first + ", " + end + "):");
    g.statement("  a0 = torch.append(ps, torch.detach(" + ws + "[i]))");
    Value norm = null;
    for (int k = 0; k < parts.size(); k++) {
      Part part = parts.get(k);
      Value own = g.assign("torch.slice(%s, %d, %d)".formatted(ws, part.from(), part.to()));
      boolean kept = k < parts.size() - 1;
      Value gradients =
          g.assign(
              "torch.grad([%s], %s, None, %s, False, False)"
                  .formatted(part.loss(), own, kept ? "True" : "None"));
      String list = "gs" + k;
      g.statement(list + " = annotate(List[Tensor], [])");
      g.statement("for i in range(torch.len(" + gradients + ")):");
      g.statement("  gi = unchecked_cast(Tensor, " + gradients + "[i])");
      // AdamW walks raw memory: a channels-last gradient must take its weight's layout
      g.statement("  a1 = torch.append(" + list + ", torch.contiguous(gi))");
      Value partNorm = clip(g, list);
      norm = norm == null ? partNorm : norm;
      g.statement("for i in range(torch.len(" + list + ")):");
      g.statement("  a2 = torch.append(gs, " + list + "[i])");
    }
    g.statement("torch._foreach_add_(steps, 1)");
    g.statement(
        "torch._fused_adamw_(ps, gs, m, v, annotate(List[Tensor], []), steps, lr=lr, beta1="
            + BETA1
            + ", beta2="
            + BETA2
            + ", weight_decay="
            + WEIGHT_DECAY
            + ", eps=1e-08, amsgrad=False, maximize=False)");
    for (int i : builder.weightsNamed(ConvexPotential.NON_NEGATIVE)) {
      g.statement("c" + i + " = torch.clamp_(ps[" + (i - first) + "], 0, None)");
    }
    g.statement("rest = torch.rsub(decay, 1)");
    g.statement("torch._foreach_lerp_(ema, ps, float(rest))");
    // what the update reads and writes is returned, or the compiler drops the update as dead code
    StringBuilder report =
        new StringBuilder("torch.stack([torch.detach(" + parts.get(0).loss() + "), ").append(norm);
    for (String list : new String[] {"ps", "m", "v", "ema"}) {
      report.append(", ").append(listNorm(g, list));
    }
    for (Value term : terms) {
      report.append(", torch.detach(").append(term).append(")");
    }
    g.returns(g.assign(report + "])"));
    return builder.build();
  }

  private static Value clip(Graph g, String list) {
    Value norm = listNorm(g, list);
    Value scale =
        g.assign(
            "torch.clamp(torch.div(torch.full([], "
                + MAX_GRADIENT_NORM
                + "), torch.add("
                + norm
                + ", 1e-6)), None, 1.0)");
    g.statement("torch._foreach_mul_(" + list + ", " + scale + ")");
    return norm;
  }

  private static Value listNorm(Graph g, String list) {
    return g.assign("torch.norm(torch.stack(torch._foreach_norm(" + list + ")))");
  }
}
