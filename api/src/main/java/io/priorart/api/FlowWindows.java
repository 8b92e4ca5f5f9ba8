package io.priorart.api;

import io.quarkus.vertx.http.HttpServerOptionsCustomizer;
import io.vertx.core.http.HttpServerOptions;
import jakarta.inject.Singleton;

/**
 * How much a client may send before the server has read it. HTTP/2's own 64 KiB make a picture wait
 * for a round trip every 64 KiB.
 */
@Singleton
public final class FlowWindows implements HttpServerOptionsCustomizer {
  private static final int STREAM_BYTES = 1 << 20;

  /** Above a stream's, so that one call that is not read leaves room for others. */
  private static final int CONNECTION_BYTES = 8 << 20;

  @Override
  public void customizeHttpServer(HttpServerOptions options) {
    options.getInitialSettings().setInitialWindowSize(STREAM_BYTES);
    options.setHttp2ConnectionWindowSize(CONNECTION_BYTES);
  }
}
