package io.priorart.solver;

import ai.djl.ndarray.NDArray;

/**
 * A network that is the proximal operator of a penalty by its construction, not by assumption:
 * {@code f = grad psi} of a convex {@code psi}, so {@code f(x) = argmin_u R(u) + ||u - x||^2 / 2}
 * with {@code R(f(x)) = <x, f(x)> - ||f(x)||^2 / 2 - psi(x)} (Gribonval and Nikolova, JMIV 2020,
 * arXiv 2002.01250; Fang et al., ICLR 2024, arXiv 2310.14344, section 3).
 *
 * <p>Pictures are float32 {@code [N, 3, H, W]} in [-1,1]. Safe for concurrent use.
 */
public interface LearnedProximal {
  /** Noise that it was trained to take away, standard deviations on [-1,1]. */
  double sigma();

  /** {@code f(x)}, {@code [N, 3, H, W]} in the argument's manager. */
  NDArray apply(NDArray x);

  /** {@code psi(x)}, one value a picture, {@code [N]}. */
  NDArray potential(NDArray x);
}
