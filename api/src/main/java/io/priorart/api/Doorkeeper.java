package io.priorart.api;

import io.grpc.MethodDescriptor;
import io.grpc.ServiceDescriptor;
import io.grpc.Status;
import io.netty.channel.ChannelHandlerContext;
import io.netty.channel.ChannelInboundHandlerAdapter;
import io.netty.channel.ChannelPipeline;
import io.netty.handler.codec.http2.Http2Exception;
import io.priorart.v1.ArtifactServiceGrpc;
import io.priorart.v1.CatalogServiceGrpc;
import io.priorart.v1.InversionServiceGrpc;
import io.priorart.v1.RestorationServiceGrpc;
import io.vertx.core.net.impl.ConnectionBase;
import io.vertx.ext.web.Router;
import io.vertx.ext.web.RoutingContext;
import jakarta.enterprise.event.Observes;
import jakarta.inject.Singleton;
import java.util.Set;
import java.util.stream.Collectors;
import java.util.stream.Stream;

/**
 * Turns away calls that the server on the shared port would answer badly: of a method that does not
 * exist (it says 500), and with compressed messages (it would inflate them without bound). Mends
 * what would let one call hurt another.
 */
@Singleton
public final class Doorkeeper {
  /** Before the route of the gRPC server. */
  private static final int FIRST = -10_000;

  private static final String SHIELD = "priorart-stream-errors";

  private static final Set<String> METHODS =
      Stream.of(
              RestorationServiceGrpc.getServiceDescriptor(),
              InversionServiceGrpc.getServiceDescriptor(),
              ArtifactServiceGrpc.getServiceDescriptor(),
              CatalogServiceGrpc.getServiceDescriptor())
          .map(ServiceDescriptor::getMethods)
          .flatMap(methods -> methods.stream().map(MethodDescriptor::getFullMethodName))
          .map(name -> "/" + name)
          .collect(Collectors.toUnmodifiableSet());

  void register(@Observes Router router) {
    router.route().order(FIRST).handler(Doorkeeper::handle);
  }

  private static void handle(RoutingContext context) {
    String type = context.request().getHeader("content-type");
    if (type == null || !type.startsWith("application/grpc")) {
      context.next();
      return;
    }
    shield(context);
    String path = String.valueOf(context.request().path());
    String encoding = context.request().getHeader("grpc-encoding");
    boolean standard = path.startsWith("/grpc."); // health and reflection
    if (!standard && !METHODS.contains(path)) {
      refuse(context, "there is no such method");
    } else if (encoding != null && !encoding.equals("identity")) {
      refuse(context, "messages must not be compressed; pictures are already");
    } else {
      context.next();
    }
  }

  /**
   * Keeps the failure of one stream from ending its connection, and with it every other call on it:
   * what is still to be written when a client resets a stream fails by an exception that Vert.x
   * (4.5.23) answers by closing the channel.
   */
  private static void shield(RoutingContext context) {
    if (context.request().connection() instanceof ConnectionBase connection) {
      ChannelPipeline pipeline = connection.channel().pipeline();
      if (pipeline.get(SHIELD) == null) {
        pipeline.addFirst(SHIELD, new StreamErrors());
      }
    }
  }

  private static final class StreamErrors extends ChannelInboundHandlerAdapter {
    @Override
    public void exceptionCaught(ChannelHandlerContext channel, Throwable cause) {
      if (!(cause instanceof Http2Exception.StreamException)) {
        channel.fireExceptionCaught(cause);
      }
    }
  }

  private static void refuse(RoutingContext context, String why) {
    context
        .response()
        .putHeader("content-type", "application/grpc")
        .putHeader("grpc-accept-encoding", "identity")
        .putHeader("grpc-status", Integer.toString(Status.Code.UNIMPLEMENTED.value()))
        .putHeader("grpc-message", why)
        .end();
  }
}
