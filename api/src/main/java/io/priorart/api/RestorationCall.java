package io.priorart.api;

import com.google.protobuf.ByteString;
import com.google.protobuf.util.Durations;
import io.priorart.models.Prior;
import io.priorart.runtime.FileRestorer;
import io.priorart.runtime.RestoreListener;
import io.priorart.runtime.Restorer;
import io.priorart.runtime.Stopping;
import io.priorart.runtime.image.Picture;
import io.priorart.runtime.image.PictureFiles;
import io.priorart.runtime.image.PictureFormat;
import io.priorart.runtime.service.ArtifactStore;
import io.priorart.runtime.service.ModelPool;
import io.priorart.runtime.service.SolveQueue;
import io.priorart.solver.PriorArtException;
import io.priorart.solver.SolveEvent;
import io.priorart.solver.SolverMethod;
import io.priorart.v1.Image;
import io.priorart.v1.RestoreEvent;
import io.priorart.v1.RestoreRequest;
import java.time.Duration;
import java.util.function.BooleanSupplier;

/** One {@code Restore} call on its way through the queue. */
final class RestorationCall implements SolveQueue.Task {
  /** What the calls share. */
  record Shared(
      Service service, Images images, Failures failures, Measures measures, Answers answers) {}

  private final Shared shared;
  private final RestoreRequest wire;
  private final Requests.Restoration restoration;
  private final EventStream<RestoreEvent> events;
  private final ArtifactStore.Hold hold;

  RestorationCall(
      Shared shared,
      RestoreRequest wire,
      Requests.Restoration restoration,
      EventStream<RestoreEvent> events) {
    this.shared = shared;
    this.wire = wire;
    this.restoration = restoration;
    this.events = events;
    hold = shared.images.hold(wire.getImage());
  }

  @Override
  public void moved(int position) {
    events.send(accepted(position));
  }

  static RestoreEvent accepted(int position) {
    return RestoreEvent.newBuilder()
        .setAccepted(RestoreEvent.Accepted.newBuilder().setQueuePosition(position))
        .build();
  }

  @Override
  public void abandoned(PriorArtException reason) {
    fail(reason);
  }

  private void fail(Throwable failure) {
    shared.answers.drop(wire.getRequestId());
    close();
    events.fail(shared.failures.status(failure));
  }

  /** Ends what the call holds; for a call that was never queued, too. */
  void close() {
    if (hold != null) {
      hold.close();
    }
  }

  @Override
  public void run(SolveQueue.Ticket ticket, BooleanSupplier stop) {
    shared.measures.waited(ticket.waited());
    String solver = restoration.request().solver();
    Model model = new Model();
    try (model) {
      FileRestorer.Restored restored = solve(model, stop);
      RestoreEvent.Finished finished = finished(restored);
      shared.answers.keep(wire.getRequestId(), finished);
      shared.measures.solved(restored.report());
      shared.measures.ended(solver, "ok");
      close();
      events.finish(RestoreEvent.newBuilder().setFinished(finished).build());
    } catch (RuntimeException | Error e) {
      // a stop may show as any failure, such as an interrupted read: what counts is why we stopped
      PriorArtException reason = ticket.reason();
      Throwable told = reason != null ? reason : e;
      shared.measures.ended(solver, Measures.outcome(told));
      fail(told);
      if (e instanceof Error error && !(e instanceof OutOfMemoryError)) {
        throw error;
      }
    }
  }

  private FileRestorer.Restored solve(Model model, BooleanSupplier stop) {
    Restorer.Request request = restoration.request();
    boolean needsModel =
        Restorer.SOLVERS.byId(request.solver()).needs().contains(SolverMethod.Need.MODEL);
    int steps = Restorer.parameters(request).get("steps") instanceof Number n ? n.intValue() : 0;
    events.send(
        RestoreEvent.newBuilder()
            .setStarted(
                RestoreEvent.Started.newBuilder()
                    .setModel(needsModel ? restoration.model() : "")
                    .setSolver(request.solver())
                    .setPlannedSteps(steps))
            .build());
    FileRestorer.Job job =
        new FileRestorer.Job(
            "image",
            shared.images.bytes("image", wire.getImage()),
            request,
            restoration.format(),
            restoration.bitDepth(),
            restoration.meanAndDeviation(),
            restoration.choice());
    Stopping stopping = new Stopping(stop, restoration.budget(), false);
    return FileRestorer.restore(job, model::open, new Progress(), stopping);
  }

  /** The model of this call, opened when the solver asks for it. */
  private final class Model implements AutoCloseable {
    private ModelPool.Lease lease;

    Prior open() {
      lease = shared.service.models().lease(restoration.model(), restoration.precision());
      return lease.pipeline();
    }

    @Override
    public void close() {
      if (lease != null) {
        lease.close();
      }
    }
  }

  private RestoreEvent.Finished finished(FileRestorer.Restored restored) {
    Images.Answer files = shared.images.answer();
    RestoreEvent.Finished.Builder finished =
        RestoreEvent.Finished.newBuilder()
            .setReport(Reports.message(restored.report()))
            .addAllWarnings(restored.warnings());
    if (restored.mean() != null) {
      finished.setMean(files.image(restored.mean()));
      finished.setStandardDeviation(files.image(restored.standardDeviation()));
    }
    restored.samples().forEach(sample -> finished.addOutputs(files.image(sample)));
    return finished.build();
  }

  /** Steps and previews for the client. */
  private final class Progress implements RestoreListener {
    private final long begin = System.nanoTime();
    private long lastPreview = begin;
    private int sample;
    private int batch = 1;
    private Duration left = Duration.ZERO;

    @Override
    public void batchStarted(int first, int count) {
      sample = first;
      batch = count;
    }

    @Override
    public void on(SolveEvent event) {
      if (event instanceof SolveEvent.Step s) {
        step(s);
      } else if (event instanceof SolveEvent.Preview p) {
        preview(p);
      }
    }

    private void step(SolveEvent.Step s) {
      double done = sample + (double) batch * s.step() / s.totalSteps();
      double total = restoration.request().samples();
      left = Duration.ofNanos((long) ((System.nanoTime() - begin) * (total - done) / done));
      RestoreEvent.Step.Builder step =
          RestoreEvent.Step.newBuilder()
              .setSample(sample)
              .setStep(s.step())
              .setTotal(s.totalSteps())
              .setEta(Durations.fromNanos(left.toNanos()));
      if (Double.isFinite(s.residualRms())) {
        step.setResidualRms(s.residualRms() / 2); // to the [0,1] scale
      }
      events.offer("step", RestoreEvent.newBuilder().setStep(step).build());
    }

    @Override
    public boolean wantsPreview(int step) {
      return restoration.previewInterval() != null
          && System.nanoTime() - lastPreview >= restoration.previewInterval().toNanos()
          && events.ready();
    }

    private void preview(SolveEvent.Preview p) {
      lastPreview = System.nanoTime();
      Picture small =
          PictureFiles.reduced(
              new Picture(p.image(), 8, null), shared.service.settings().preview().pixels());
      byte[] png = PictureFiles.encode(small, PictureFormat.PNG);
      events.offer(
          "preview",
          RestoreEvent.newBuilder()
              .setPreview(
                  RestoreEvent.Preview.newBuilder()
                      .setSample(sample)
                      .setStep(p.step())
                      .setImage(Image.newBuilder().setData(ByteString.copyFrom(png))))
              .build());
    }

    @Override
    public void sampleFinished(int index, Restorer.Sample result) {
      events.send(
          RestoreEvent.newBuilder()
              .setSampleFinished(
                  RestoreEvent.SampleFinished.newBuilder()
                      .setSample(index)
                      .setSeed(result.seed())
                      .setJudgement(result.verdict().judgement().name().toLowerCase()))
              .build());
    }
  }
}
