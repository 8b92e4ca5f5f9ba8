/** From a picture's latent to the noise that a deterministic sampler turns into it, and back. */
package io.priorart.solver.inversion;
