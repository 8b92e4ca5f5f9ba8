package io.priorart.api;

import io.grpc.Context;
import io.grpc.Contexts;
import io.grpc.ForwardingServerCallListener;
import io.grpc.Metadata;
import io.grpc.ServerCall;
import io.grpc.ServerCallHandler;
import io.grpc.ServerInterceptor;
import io.quarkus.grpc.GlobalInterceptor;
import io.vertx.core.Vertx;
import io.vertx.ext.web.RoutingContext;
import jakarta.enterprise.context.ApplicationScoped;
import jakarta.enterprise.inject.spi.Prioritized;
import java.time.Duration;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * What ends a call before its answer, as far as the server on the shared port leaves it to us: the
 * deadline that a client sends ({@code grpc-timeout}), and a stream that ends in any other way than
 * by a cancel, such as a client that dies.
 */
@GlobalInterceptor
@ApplicationScoped
public class CallBounds implements ServerInterceptor, Prioritized {
  private static final Metadata.Key<String> TIMEOUT =
      Metadata.Key.of("grpc-timeout", Metadata.ASCII_STRING_MARSHALLER);
  private static final Pattern FORM = Pattern.compile("(\\d{1,8})([HMSmun])");
  private static final Context.Key<Duration> LEFT = Context.key("priorart.deadline");

  /** Time that the current call may take, {@code null} for no bound. */
  static Duration left() {
    return LEFT.get();
  }

  @Override
  public <A, B> ServerCall.Listener<A> interceptCall(
      ServerCall<A, B> call, Metadata headers, ServerCallHandler<A, B> next) {
    Duration timeout = parse(headers.get(TIMEOUT));
    ServerCall.Listener<A> inner =
        timeout == null
            ? next.startCall(call, headers)
            : Contexts.interceptCall(
                Context.current().withValue(LEFT, timeout), call, headers, next);
    End<A> listener = new End<>(inner);
    RoutingContext stream =
        Vertx.currentContext() == null
            ? null
            : Vertx.currentContext().getLocal(RoutingContext.class.getName());
    if (stream != null) {
      stream.addEndHandler(ended -> listener.onCancel());
    }
    return listener;
  }

  /** Tells of the end once. */
  private static final class End<A>
      extends ForwardingServerCallListener.SimpleForwardingServerCallListener<A> {
    private final AtomicBoolean ended = new AtomicBoolean();

    End(ServerCall.Listener<A> inner) {
      super(inner);
    }

    @Override
    public void onCancel() {
      if (ended.compareAndSet(false, true)) {
        super.onCancel();
      }
    }

    @Override
    public void onComplete() {
      if (ended.compareAndSet(false, true)) {
        super.onComplete();
      }
    }
  }

  private static Duration parse(String text) {
    Matcher m = text == null ? null : FORM.matcher(text);
    if (m == null || !m.matches()) {
      return null;
    }
    long amount = Long.parseLong(m.group(1));
    return switch (m.group(2).charAt(0)) {
      case 'H' -> Duration.ofHours(amount);
      case 'M' -> Duration.ofMinutes(amount);
      case 'S' -> Duration.ofSeconds(amount);
      case 'm' -> Duration.ofMillis(amount);
      case 'u' -> Duration.ofNanos(amount * 1000);
      default -> Duration.ofNanos(amount);
    };
  }

  /** Before what moves the call to another thread. */
  @Override
  public int getPriority() {
    return Integer.MAX_VALUE;
  }
}
