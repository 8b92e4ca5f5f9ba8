package io.priorart.runtime.service;

import io.priorart.models.ModelFamilies;
import io.priorart.models.ModelSource;
import io.priorart.models.Prior;
import io.priorart.models.PriorTraits;
import io.priorart.models.engine.CompileOptions;
import io.priorart.models.engine.Precision;
import io.priorart.runtime.Checkpoints;
import io.priorart.solver.Names;
import io.priorart.solver.PriorArtException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/**
 * The models of a process, by name, each opened once for each precision asked for. When more are
 * open than allowed, those that nobody uses are closed, longest unused first. Safe for concurrent
 * use; opening one holds up only those who ask for the same.
 */
public final class ModelPool implements AutoCloseable {
  private record Key(String name, Precision precision) {}

  private static final class Slot {
    private Prior pipeline;
    private int users;
    private long lastUse;
  }

  /** A model in use; close it when the solve is over. */
  public final class Lease implements AutoCloseable {
    private final Slot slot;

    private Lease(Slot slot) {
      this.slot = slot;
    }

    public Prior pipeline() {
      return slot.pipeline;
    }

    @Override
    public void close() {
      synchronized (ModelPool.this) {
        slot.users--;
        slot.lastUse = System.nanoTime();
      }
    }
  }

  private final Map<String, Path> folders;
  private final int maxOpen;
  private final Map<Key, Slot> slots = new LinkedHashMap<>();

  /**
   * @param models bundled checkpoints' names or folders; the first is the default
   * @param maxOpen how many may be open while nobody uses them, at least 1
   * @throws PriorArtException NOT_FOUND for a model that does not exist; INVALID_ARGUMENT for two
   *     of one name
   */
  public ModelPool(List<String> models, int maxOpen) {
    this.maxOpen = maxOpen;
    folders = new LinkedHashMap<>();
    for (String model : models) {
      Path folder = Checkpoints.resolve(model, false).toAbsolutePath().normalize();
      if (folders.put(folder.getFileName().toString(), folder) != null) {
        throw PriorArtException.badField(
            "model", "two models are called " + folder.getFileName() + "; rename a folder");
      }
    }
    if (folders.isEmpty()) {
      throw PriorArtException.badField("model", "name at least one");
    }
  }

  /** The default's name first. */
  public List<String> names() {
    return List.copyOf(folders.keySet());
  }

  /**
   * The full name of a model.
   *
   * @param name may be empty for the default
   * @throws PriorArtException NOT_FOUND, naming the nearest
   */
  public String named(String name) {
    if (name.isEmpty()) {
      return names().get(0);
    }
    if (!folders.containsKey(name)) {
      throw Names.notFound("model", name, folders.keySet());
    }
    return name;
  }

  /**
   * As {@link #named(String)}; an empty name is the first model that fits.
   *
   * @param text whether it must understand a prompt
   */
  public String named(String name, boolean text) {
    if (!name.isEmpty() || !text) {
      return named(name);
    }
    return names().stream().filter(n -> traits(n).text()).findFirst().orElse(names().get(0));
  }

  /** What a model is; opens nothing. */
  public PriorTraits traits(String name) {
    return ModelFamilies.traits(ModelSource.of(folders.get(name)));
  }

  /**
   * A model to work with, opened if it is not.
   *
   * @throws PriorArtException NOT_FOUND, or what {@link ModelFamilies#load} finds wrong
   */
  public Lease lease(String name, Precision precision) {
    Key key = new Key(named(name), precision.resolve());
    Slot slot;
    synchronized (this) {
      slot = slots.computeIfAbsent(key, k -> new Slot());
      slot.users++;
    }
    Lease lease = new Lease(slot);
    try {
      synchronized (slot) {
        if (slot.pipeline == null) {
          Prior opened =
              ModelFamilies.load(
                  folders.get(key.name), CompileOptions.AUTO.withPrecision(precision));
          opened.hash(); // read with the weights, not in the first answer
          slot.pipeline = opened;
        }
      }
    } catch (RuntimeException e) {
      lease.close();
      throw e;
    }
    closeUnused();
    return lease;
  }

  /** The model, in any precision, if it is open: for looking at only. */
  public synchronized Optional<Prior> opened(String name) {
    return slots.entrySet().stream()
        .filter(e -> e.getKey().name.equals(name) && e.getValue().pipeline != null)
        .map(e -> e.getValue().pipeline)
        .findFirst();
  }

  private synchronized void closeUnused() {
    List<Map.Entry<Key, Slot>> open =
        new ArrayList<>(
            slots.entrySet().stream().filter(e -> e.getValue().pipeline != null).toList());
    int surplus = open.size() - maxOpen;
    open.sort(Comparator.comparingLong(e -> e.getValue().lastUse));
    for (Map.Entry<Key, Slot> e : open) {
      if (surplus > 0 && e.getValue().users == 0) {
        slots.remove(e.getKey());
        e.getValue().pipeline.close();
        surplus--;
      }
    }
  }

  /** Closes all; nobody may use one any more. */
  @Override
  public synchronized void close() {
    for (Slot slot : slots.values()) {
      if (slot.pipeline != null) {
        slot.pipeline.close();
      }
    }
    slots.clear();
  }
}
