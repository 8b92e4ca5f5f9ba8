package io.priorart.runtime.image;

/**
 * What a picture file's header says.
 *
 * @param width in pixels, upright
 * @param height in pixels, upright
 */
public record PictureInfo(PictureFormat format, int width, int height) {}
