package io.priorart.solver;

import ai.djl.ndarray.NDArray;

/**
 * What a prompt names, but the picture is not to show (Li et al., "Get What You Want, Not What You
 * Don't", ICLR 2024, arXiv 2402.05375).
 *
 * @param embedding the prompt's, soft-weighted: {@code [1, L, width]}, in place of {@link
 *     Conditioning#positive} but for the noisiest fifth of the timesteps
 * @param retain 1 for each token of the prompt that is to be shown, {@code [L]}
 * @param suppress 1 for each that is not, {@code [L]}
 * @param iterations of the text embedding's optimisation at each timestep of the second fifth; each
 *     costs an evaluation and its pullback. 0 for none
 */
public record Suppression(NDArray embedding, NDArray retain, NDArray suppress, int iterations) {}
