package io.priorart.api;

import io.grpc.ForwardingServerCallListener;
import io.grpc.Metadata;
import io.grpc.MethodDescriptor;
import io.grpc.ServerCall;
import io.grpc.ServerCallHandler;
import io.grpc.ServerMethodDefinition;
import io.grpc.ServerServiceDefinition;
import io.grpc.ServiceDescriptor;
import io.grpc.StatusRuntimeException;
import io.priorart.solver.PriorArtException;
import java.io.InputStream;
import java.util.ArrayList;
import java.util.List;

/**
 * Answers a message that is no protobuf with INVALID_ARGUMENT. The server on the shared port would
 * drop it, and a client that streams would wait for ever.
 */
final class StrictMessages {
  private StrictMessages() {}

  /** In the place of a message that cannot be read. */
  private record Malformed(String why) {}

  /** The same service, its messages read here. */
  static ServerServiceDefinition of(ServerServiceDefinition service, Failures failures) {
    List<ServerMethodDefinition<Object, ?>> methods = new ArrayList<>();
    service.getMethods().forEach(m -> methods.add(method(m, failures)));
    ServiceDescriptor.Builder descriptor =
        ServiceDescriptor.newBuilder(service.getServiceDescriptor().getName())
            .setSchemaDescriptor(service.getServiceDescriptor().getSchemaDescriptor());
    methods.forEach(m -> descriptor.addMethod(m.getMethodDescriptor()));
    ServerServiceDefinition.Builder strict = ServerServiceDefinition.builder(descriptor.build());
    methods.forEach(strict::addMethod);
    return strict.build();
  }

  private static <A, B> MethodDescriptor<Object, B> lenient(MethodDescriptor<A, B> method) {
    MethodDescriptor.Marshaller<A> original = method.getRequestMarshaller();
    MethodDescriptor.Marshaller<Object> marshaller =
        new MethodDescriptor.Marshaller<>() {
          @Override
          public InputStream stream(Object value) {
            throw new UnsupportedOperationException("a server reads requests");
          }

          @Override
          public Object parse(InputStream stream) {
            try {
              return original.parse(stream);
            } catch (StatusRuntimeException e) {
              return new Malformed(e.getStatus().getDescription());
            }
          }
        };
    return method.toBuilder(marshaller, method.getResponseMarshaller()).build();
  }

  private static <A, B> ServerMethodDefinition<Object, B> method(
      ServerMethodDefinition<A, B> method, Failures failures) {
    ServerCallHandler<A, B> handler = method.getServerCallHandler();
    return ServerMethodDefinition.create(
        lenient(method.getMethodDescriptor()),
        (call, headers) -> {
          // The handler never sees the request type of its call, only its messages.
          @SuppressWarnings("unchecked")
          ServerCall<A, B> typed = (ServerCall<A, B>) call;
          @SuppressWarnings("unchecked")
          ServerCall.Listener<Object> inner =
              (ServerCall.Listener<Object>) handler.startCall(typed, headers);
          return new Reader<>(call, inner, failures);
        });
  }

  private static final class Reader<B>
      extends ForwardingServerCallListener.SimpleForwardingServerCallListener<Object> {
    private final ServerCall<Object, B> call;
    private final Failures failures;
    private boolean refused;

    Reader(ServerCall<Object, B> call, ServerCall.Listener<Object> inner, Failures failures) {
      super(inner);
      this.call = call;
      this.failures = failures;
    }

    @Override
    public void onMessage(Object message) {
      if (message instanceof Malformed malformed) {
        if (!refused) {
          refused = true;
          super.onCancel(); // the service lets go of what the call holds
          StatusRuntimeException status =
              failures.status(
                  PriorArtException.badField("message", "is malformed: " + malformed.why));
          Metadata trailers = status.getTrailers();
          call.close(status.getStatus(), trailers == null ? new Metadata() : trailers);
        }
      } else if (!refused) {
        super.onMessage(message);
      }
    }

    @Override
    public void onHalfClose() {
      if (!refused) {
        super.onHalfClose();
      }
    }
  }
}
