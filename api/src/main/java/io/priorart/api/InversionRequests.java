package io.priorart.api;

import io.priorart.models.Prior;
import io.priorart.models.PriorTraits;
import io.priorart.runtime.Limits;
import io.priorart.runtime.image.Picture;
import io.priorart.runtime.image.PictureFiles;
import io.priorart.runtime.image.PictureFormat;
import io.priorart.runtime.inversion.InversionReport;
import io.priorart.runtime.inversion.InvertedPicture;
import io.priorart.runtime.inversion.PictureInversion;
import io.priorart.solver.PriorArtException;
import io.priorart.solver.Prompt;
import io.priorart.solver.Violations;
import io.priorart.v1.Conditioning;
import io.priorart.v1.EditRequest;
import io.priorart.v1.Image;
import io.priorart.v1.InterpolateRequest;
import io.priorart.v1.InversionMethod;
import io.priorart.v1.InvertRequest;
import io.priorart.v1.Output;
import jakarta.inject.Singleton;
import java.time.Duration;
import java.util.List;
import java.util.Map;

/** Requests of {@code InversionService}, checked and turned into what runs. */
@Singleton
public final class InversionRequests {
  private static final int FRAMES = 9;

  private final Service service;
  private final Requests requests;
  private final Images images;

  InversionRequests(Service service, Requests requests, Images images) {
    this.service = service;
    this.requests = requests;
    this.images = images;
  }

  /**
   * What came of it.
   *
   * @param found the picture's noise; {@code null} where it came in the request
   */
  record Outcome(InvertedPicture found, List<Picture> pictures, InversionReport report) {}

  /** What runs when its turn has come. */
  interface Work {
    Outcome run(Prior prior, PictureInversion.Running running);
  }

  /**
   * A sound request.
   *
   * @param method empty when an earlier inversion is used
   * @param files of the request, kept while it waits
   * @param prompts that a text encoder may cut
   */
  record Job(
      String model,
      String method,
      PictureFormat format,
      int bitDepth,
      Duration budget,
      List<Image> files,
      List<Prompt> prompts,
      Work work) {}

  Job invert(InvertRequest wire) {
    return inversion("", wire, wire.getOutput());
  }

  /**
   * As {@link Requests#restoration}: the first thing wrong, other bad fields as suppressed ones.
   */
  private Job inversion(String path, InvertRequest wire, Output output) {
    Violations v = new Violations();
    InversionMethod asked = wire.getMethod();
    Prompt prompt = requests.prompt(path + "conditioning", wire.getConditioning(), v);
    PictureInversion.Request request =
        new PictureInversion.Request(
            prompt,
            asked.getName().isEmpty() ? PictureInversion.method(prompt) : asked.getName(),
            asked.getPreset().isEmpty() ? "fast" : asked.getPreset(),
            v.check(
                Map.of(),
                () -> Requests.parameters(path + "method.parameters", asked.getParameters())),
            asked.hasSteps() ? asked.getSteps() : null);
    String model = model(wire.getModel(), v);
    v.check(
        () -> {
          checkMethod(request);
          requests.requireSteps("method", "method.steps", PictureInversion.parameters(request));
          if (!model.isEmpty()) {
            PictureInversion.requireFit(request, service.models().traits(model));
          }
        });
    v.check(() -> Requests.requireDevice(wire.getDevice()));
    v.check(
        () -> {
          switch (wire.getPrecision()) {
            case PRECISION_UNSPECIFIED, PRECISION_FLOAT32 -> {}
            default ->
                throw PriorArtException.badField(
                    path + "precision", "inversions run in float32; leave it out");
          }
        });
    PictureFormat format = v.check(PictureFormat.PNG, () -> Requests.format(output));
    int depth = v.check(0, () -> Requests.bitDepth(output));
    Duration budget = v.check(null, () -> requests.budget(wire.hasBudget(), wire.getBudget()));
    String field = path + "image";
    v.check(() -> PictureFiles.info(field, images.bytes(field, wire.getImage()), Limits.PIXELS));
    v.raise();
    return new Job(
        model,
        request.method(),
        format,
        depth,
        budget,
        List.of(wire.getImage()),
        List.of(prompt),
        (prior, running) -> {
          // decoded when its turn has come: what waits holds no pixels
          Picture picture = requests.picture(field, wire.getImage());
          PictureInversion.Inverted inverted =
              PictureInversion.invert(picture, request, prior, running);
          return new Outcome(
              inverted.found(), List.of(inverted.reconstruction()), inverted.report());
        });
  }

  /** What a solver's fields are called belongs to the method here. */
  private static void checkMethod(PictureInversion.Request request) {
    try {
      PictureInversion.check(request);
    } catch (PriorArtException e) {
      boolean own = List.of("preset", "steps").contains(e.details().getOrDefault("field", ""));
      throw own ? e.within("method") : e;
    }
  }

  Job edit(EditRequest wire) {
    Violations v = new Violations();
    Prompt edit = requests.prompt("edit", wire.getEdit(), v);
    v.check(edit::check);
    return switch (wire.getSourceCase()) {
      case INVERT -> {
        Job first = v.check(null, () -> inversion("invert.", wire.getInvert(), wire.getOutput()));
        v.raise();
        Prompt prompt = over(first.prompts().get(0), wire.getEdit(), edit);
        requireText(prompt, first.model());
        yield new Job(
            first.model(),
            first.method(),
            first.format(),
            first.bitDepth(),
            first.budget(),
            first.files(),
            List.of(first.prompts().get(0), prompt),
            (prior, running) -> {
              Outcome inverted = first.work().run(prior, running);
              PictureInversion.Sampled edited =
                  PictureInversion.edit(inverted.found(), prompt, prior, running);
              return new Outcome(
                  inverted.found(), edited.pictures(), inverted.report().then(edited.report()));
            });
      }
      case NOISE -> {
        Prompt own = v.check(Prompt.NONE, () -> noise("noise", wire.getNoise()).prompt());
        Common common =
            common(wire.getModel(), wire.getOutput(), wire.hasBudget(), wire.getBudget(), v);
        v.raise();
        Prompt prompt = over(own, wire.getEdit(), edit);
        requireText(prompt, common.model());
        yield job(
            common,
            List.of(wire.getNoise()),
            List.of(prompt),
            (prior, running) -> {
              // decoded when its turn has come, as pictures are
              InvertedPicture noise = noise("noise", wire.getNoise());
              return PictureInversion.edit(noise, prompt, prior, running);
            });
      }
      case SOURCE_NOT_SET ->
          throw PriorArtException.badField("invert", "give a picture to invert, or noise");
    };
  }

  /** What an edit leaves out stays as it was when the picture was inverted. */
  private static Prompt over(Prompt source, Conditioning wire, Prompt edit) {
    boolean suppresses = !edit.suppress().isEmpty();
    return new Prompt(
        edit.text(),
        edit.negative().isEmpty() ? source.negative() : edit.negative(),
        wire.hasGuidanceScale() ? edit.guidanceScale() : source.guidanceScale(),
        suppresses ? edit.suppress() : source.suppress(),
        suppresses ? edit.suppressIterations() : source.suppressIterations());
  }

  Job interpolate(InterpolateRequest wire) {
    Violations v = new Violations();
    v.check(() -> noise("first", wire.getFirst()));
    v.check(() -> noise("second", wire.getSecond()));
    int frames = wire.hasFrames() ? wire.getFrames() : FRAMES;
    Common common =
        common(wire.getModel(), wire.getOutput(), wire.hasBudget(), wire.getBudget(), v);
    v.raise();
    PictureInversion.requireFrames(frames);
    return job(
        common,
        List.of(wire.getFirst(), wire.getSecond()),
        List.of(),
        (prior, running) ->
            PictureInversion.interpolate(
                noise("first", wire.getFirst()),
                noise("second", wire.getSecond()),
                frames,
                prior,
                running));
  }

  private record Common(String model, PictureFormat format, int bitDepth, Duration budget) {}

  private Common common(
      String model,
      Output output,
      boolean hasBudget,
      com.google.protobuf.Duration budget,
      Violations v) {
    return new Common(
        model(model, v),
        v.check(PictureFormat.PNG, () -> Requests.format(output)),
        v.check(0, () -> Requests.bitDepth(output)),
        v.check(null, () -> requests.budget(hasBudget, budget)));
  }

  private interface Sampling {
    PictureInversion.Sampled run(Prior prior, PictureInversion.Running running);
  }

  private static Job job(
      Common common, List<Image> files, List<Prompt> prompts, Sampling sampling) {
    return new Job(
        common.model(),
        "",
        common.format(),
        common.bitDepth(),
        common.budget(),
        files,
        prompts,
        (prior, running) -> {
          PictureInversion.Sampled sampled = sampling.run(prior, running);
          return new Outcome(null, sampled.pictures(), sampled.report());
        });
  }

  private InvertedPicture noise(String field, Image file) {
    return InvertedPicture.decode(field, images.bytes(field, file));
  }

  private String model(String name, Violations v) {
    return v.check("", () -> service.models().named(name, true));
  }

  private void requireText(Prompt prompt, String model) {
    PriorTraits traits = service.models().traits(model);
    PictureInversion.requireText(prompt, traits);
  }
}
