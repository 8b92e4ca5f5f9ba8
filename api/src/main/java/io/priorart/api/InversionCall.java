package io.priorart.api;

import io.priorart.models.engine.Precision;
import io.priorart.runtime.image.Picture;
import io.priorart.runtime.image.PictureFiles;
import io.priorart.runtime.inversion.PictureInversion;
import io.priorart.runtime.service.ArtifactStore;
import io.priorart.runtime.service.ModelPool;
import io.priorart.runtime.service.SolveQueue;
import io.priorart.solver.PriorArtException;
import io.priorart.solver.Prompt;
import io.priorart.solver.SolveEvent;
import io.priorart.v1.InversionEvent;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Objects;
import java.util.Set;
import java.util.function.BooleanSupplier;

/** One call of {@code InversionService} on its way through the queue. */
final class InversionCall implements SolveQueue.Task {
  /** What the calls share. */
  record Shared(Service service, Images images, Failures failures, Measures measures) {}

  private final Shared shared;
  private final InversionRequests.Job job;
  private final EventStream<InversionEvent> events;
  private final List<ArtifactStore.Hold> holds;

  InversionCall(Shared shared, InversionRequests.Job job, EventStream<InversionEvent> events) {
    this.shared = shared;
    this.job = job;
    this.events = events;
    holds = job.files().stream().map(shared.images::hold).filter(Objects::nonNull).toList();
  }

  static InversionEvent accepted(int position) {
    return InversionEvent.newBuilder()
        .setAccepted(InversionEvent.Accepted.newBuilder().setQueuePosition(position))
        .build();
  }

  @Override
  public void moved(int position) {
    events.send(accepted(position));
  }

  @Override
  public void abandoned(PriorArtException reason) {
    fail(reason);
  }

  private void fail(Throwable failure) {
    close();
    events.fail(shared.failures.status(failure));
  }

  /** Ends what the call holds; for a call that was never queued, too. */
  void close() {
    holds.forEach(ArtifactStore.Hold::close);
  }

  @Override
  public void run(SolveQueue.Ticket ticket, BooleanSupplier stop) {
    shared.measures.waited(ticket.waited());
    String name = job.method().isEmpty() ? "inverted" : job.method();
    try (ModelPool.Lease lease = shared.service.models().lease(job.model(), Precision.FLOAT32)) {
      events.send(
          InversionEvent.newBuilder()
              .setStarted(
                  InversionEvent.Started.newBuilder().setModel(job.model()).setMethod(job.method()))
              .build());
      InversionRequests.Outcome outcome =
          job.work()
              .run(lease.pipeline(), new PictureInversion.Running(this::step, stop, job.budget()));
      Set<String> warnings = new LinkedHashSet<>();
      for (Prompt prompt : job.prompts()) {
        if (lease.pipeline().truncates(prompt.text())
            || lease.pipeline().truncates(prompt.negative())) {
          warnings.add("a prompt is longer than the text encoder reads; its end is cut");
        }
      }
      InversionEvent.Finished finished = finished(outcome, warnings);
      shared.measures.ended(name, "ok");
      close();
      events.finish(InversionEvent.newBuilder().setFinished(finished).build());
    } catch (RuntimeException | Error e) {
      // a stop may show as any failure: what counts is why we stopped
      PriorArtException reason = ticket.reason();
      Throwable told = reason != null ? reason : e;
      shared.measures.ended(name, Measures.outcome(told));
      fail(told);
      if (e instanceof Error error && !(e instanceof OutOfMemoryError)) {
        throw error;
      }
    }
  }

  private void step(SolveEvent event) {
    if (event instanceof SolveEvent.Step s) {
      events.offer(
          "step",
          InversionEvent.newBuilder()
              .setStep(InversionEvent.Step.newBuilder().setStep(s.step()).setTotal(s.totalSteps()))
              .build());
    }
  }

  private InversionEvent.Finished finished(
      InversionRequests.Outcome outcome, Set<String> warnings) {
    Images.Answer files = shared.images.answer();
    InversionEvent.Finished.Builder finished =
        InversionEvent.Finished.newBuilder()
            .setReport(Reports.message(outcome.report()))
            .addAllWarnings(warnings);
    for (Picture picture : outcome.pictures()) {
      int depth = job.format().depth(job.bitDepth() == 0 ? 8 : job.bitDepth());
      Picture written = picture.withPixels(picture.pixels(), depth, null);
      finished.addOutputs(files.image(PictureFiles.encode(written, job.format())));
    }
    if (outcome.found() != null) {
      finished.setNoise(files.image(outcome.found().encode()));
    }
    return finished.build();
  }
}
