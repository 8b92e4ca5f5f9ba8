package io.priorart.runtime.image;

/** Loads the native library once, when the first class that needs it asks. */
final class OpenCv {
  static {
    nu.pattern.OpenCV.loadLocally();
    // codecs report a broken file by an empty result; their chatter on standard error is noise
    org.opencv.core.Core.setNumThreads(1);
  }

  private OpenCv() {}

  static void load() {}
}
