package io.priorart.api;

import grpc.health.v1.HealthOuterClass.HealthCheckResponse.ServingStatus;
import io.grpc.ServiceDescriptor;
import io.priorart.models.engine.GracefulExit;
import io.priorart.models.engine.Precision;
import io.priorart.runtime.MachineSpeed;
import io.priorart.runtime.service.ArtifactStore;
import io.priorart.runtime.service.ModelPool;
import io.priorart.runtime.service.SolveQueue;
import io.priorart.solver.PriorArtException;
import io.priorart.v1.ArtifactServiceGrpc;
import io.priorart.v1.CatalogServiceGrpc;
import io.priorart.v1.InversionServiceGrpc;
import io.priorart.v1.RestorationServiceGrpc;
import io.quarkus.grpc.runtime.health.GrpcHealthStorage;
import io.quarkus.runtime.Quarkus;
import io.quarkus.runtime.ShutdownEvent;
import io.quarkus.runtime.StartupEvent;
import jakarta.enterprise.event.Observes;
import jakarta.inject.Singleton;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Clock;
import java.util.Comparator;
import java.util.List;
import java.util.concurrent.Executors;
import java.util.concurrent.ScheduledExecutorService;
import java.util.stream.Stream;
import org.jboss.logging.Logger;

/** What the doors share: models, queues, artifacts; and how the process starts and stops. */
@Singleton
public final class Service {
  private static final Logger LOG = Logger.getLogger(Service.class);

  /**
   * Degrade and Compare: short work that must not wait behind solves, and not run without bound.
   */
  private static final int QUICK_SLOTS = 2;

  private static final int QUICK_QUEUE = 64;

  private final ServiceSettings settings;
  private final ModelPool models;
  private final SolveQueue solves;
  private final SolveQueue quick;
  private final ArtifactStore artifacts;
  private final Path temporary;
  private final ScheduledExecutorService timer =
      Executors.newSingleThreadScheduledExecutor(
          work -> {
            Thread thread = new Thread(work, "timer");
            thread.setDaemon(true);
            return thread;
          });
  private final GracefulExit.Task life;
  private final GrpcHealthStorage health;

  Service(ServiceSettings settings, GrpcHealthStorage health) {
    this.settings = settings;
    this.health = health;
    models =
        new ModelPool(settings.models(), settings.modelMemory().asLongValue(), settings.vaeTile());
    solves = new SolveQueue(settings.slots(), settings.queue());
    quick = new SolveQueue(QUICK_SLOTS, QUICK_QUEUE);
    try {
      temporary =
          settings.artifacts().folder().isPresent()
              ? null
              : Files.createTempDirectory("priorart-artifacts");
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
    artifacts =
        new ArtifactStore(
            settings.artifacts().folder().orElse(temporary),
            settings.artifacts().maxBytes().asLongValue(),
            settings.artifacts().quota().asLongValue(),
            settings.artifacts().expiry(),
            Clock.systemUTC());
    // The JVM must not leave while a solve is inside libtorch: exit waits for this task.
    life = GracefulExit.begin(settings.grace().plusSeconds(60));
  }

  void start(@Observes StartupEvent event) {
    // The port answers (not serving) while the default model loads.
    health(ServingStatus.NOT_SERVING);
    Thread loader =
        new Thread(
            () -> {
              try (ModelPool.Lease lease = models.lease("", Precision.AUTO)) {
                LOG.infof("model %s is loaded", lease.pipeline().name());
                // once a process: before the first solve takes cores from it
                MachineSpeed.seconds();
                health(ServingStatus.SERVING);
              } catch (RuntimeException e) {
                String problem = e instanceof PriorArtException ? e.getMessage() : e.toString();
                LOG.errorf("the default model cannot be loaded: %s", problem);
                Quarkus.asyncExit(1);
              }
            },
            "load-default-model");
    loader.setDaemon(true);
    loader.start();
  }

  void stop(@Observes ShutdownEvent event) {
    health(ServingStatus.NOT_SERVING);
    LOG.infof(
        "stopping: %d solves run, %d wait; at most %s",
        solves.busy(), solves.waiting(), settings.grace());
    solves.drain(settings.grace());
    quick.close();
    timer.shutdownNow();
    models.close();
    if (temporary != null) {
      delete(temporary);
    }
    life.close();
  }

  private static void delete(Path folder) {
    try (Stream<Path> files = Files.walk(folder)) {
      for (Path file : files.sorted(Comparator.reverseOrder()).toList()) {
        Files.deleteIfExists(file);
      }
    } catch (IOException e) {
      LOG.warnf("cannot delete %s: %s", folder, e.getMessage());
    }
  }

  private void health(ServingStatus status) {
    health.setStatus(GrpcHealthStorage.DEFAULT_SERVICE_NAME, status);
    for (ServiceDescriptor service :
        List.of(
            RestorationServiceGrpc.getServiceDescriptor(),
            InversionServiceGrpc.getServiceDescriptor(),
            ArtifactServiceGrpc.getServiceDescriptor(),
            CatalogServiceGrpc.getServiceDescriptor())) {
      health.setStatus(service.getName(), status);
    }
  }

  public ServiceSettings settings() {
    return settings;
  }

  public ModelPool models() {
    return models;
  }

  public SolveQueue solves() {
    return solves;
  }

  public SolveQueue quick() {
    return quick;
  }

  public ArtifactStore artifacts() {
    return artifacts;
  }

  /** For deadlines; what it runs must return at once. */
  public ScheduledExecutorService timer() {
    return timer;
  }
}
