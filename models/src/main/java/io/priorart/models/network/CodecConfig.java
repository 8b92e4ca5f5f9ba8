package io.priorart.models.network;

/** What an auto-encoder's configuration says of its pictures and latents. */
public interface CodecConfig {
  /** Of a picture. */
  int inChannels();

  int latentChannels();

  /** Pixels per latent along an axis. */
  int stride();

  /** What latents are multiplied by for the denoising network. */
  double scalingFactor();

  /** What is taken from latents before. */
  double shiftFactor();
}
