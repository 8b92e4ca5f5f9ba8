package io.priorart.runtime.service;

import io.priorart.models.ModelFamilies;
import io.priorart.models.ModelInspection;
import io.priorart.models.ModelSource;
import io.priorart.models.Prior;
import io.priorart.models.PriorTraits;
import io.priorart.models.engine.CompileOptions;
import io.priorart.models.engine.Precision;
import io.priorart.runtime.Checkpoints;
import io.priorart.solver.ErrorKind;
import io.priorart.solver.Names;
import io.priorart.solver.PriorArtException;
import java.nio.file.Path;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.ConcurrentHashMap;

/**
 * The models of a process, by name, each opened once for each precision asked for. Before one is
 * opened, others that nobody uses are closed, longest unused first, until the weights of all fit a
 * budget; one in use is never closed. Safe for concurrent use; opening one holds up only those who
 * ask for the same.
 */
public final class ModelPool implements AutoCloseable {
  private record Key(String name, Precision precision) {}

  private static final class Slot {
    private final long bytes;
    private Prior pipeline;
    private int users;
    private long lastUse;

    Slot(long bytes) {
      this.bytes = bytes;
    }
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
  private final Map<String, Long> parameters = new ConcurrentHashMap<>();
  private final long budget;
  private final int vaeTile;
  private final Map<Key, Slot> slots = new LinkedHashMap<>();

  /**
   * @param models bundled checkpoints' names or folders; the first is the default
   * @param budget bytes of weights, at the precision that networks compute in, of all open models
   * @param vaeTile as in {@link ModelSource}, for those that have an auto-encoder
   * @throws PriorArtException NOT_FOUND for a model that does not exist; INVALID_ARGUMENT for two
   *     of one name
   */
  public ModelPool(List<String> models, long budget, int vaeTile) {
    this.budget = budget;
    this.vaeTile = vaeTile;
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
   * @throws PriorArtException NOT_FOUND, or what {@link ModelFamilies#load} finds wrong;
   *     RESOURCE_EXHAUSTED for a model that does not fit the budget beside those in use
   */
  public Lease lease(String name, Precision precision) {
    Key key = new Key(named(name), precision.resolve());
    long bytes = bytes(key);
    Slot slot;
    synchronized (this) {
      slot = slots.get(key);
      if (slot == null) {
        slot = new Slot(bytes);
        makeRoom(key, slot.bytes);
        slots.put(key, slot);
      }
      slot.users++;
    }
    Lease lease = new Lease(slot);
    try {
      synchronized (slot) {
        if (slot.pipeline == null) {
          Prior opened =
              ModelFamilies.load(source(key.name), CompileOptions.AUTO.withPrecision(precision));
          opened.hash(); // read with the weights, not in the first answer
          slot.pipeline = opened;
        }
      }
    } catch (RuntimeException e) {
      synchronized (this) {
        lease.close();
        if (slot.users == 0 && slot.pipeline == null) {
          slots.remove(key, slot);
        }
      }
      throw e;
    }
    return lease;
  }

  private ModelSource source(String name) {
    ModelSource source = ModelSource.of(folders.get(name));
    return traits(name).pixelSpace() ? source : source.tiled(vaeTile);
  }

  /** The model, in any precision, if it is open: for looking at only. */
  public synchronized Optional<Prior> opened(String name) {
    return slots.entrySet().stream()
        .filter(e -> e.getKey().name.equals(name) && e.getValue().pipeline != null)
        .map(e -> e.getValue().pipeline)
        .findFirst();
  }

  private long bytes(Key key) {
    long count =
        parameters.computeIfAbsent(
            key.name, n -> ModelInspection.of(ModelSource.of(folders.get(n))).parameters());
    return count * key.precision.bytes();
  }

  private void makeRoom(Key key, long bytes) {
    long open = slots.values().stream().mapToLong(s -> s.bytes).sum();
    while (open + bytes > budget) {
      Map.Entry<Key, Slot> oldest =
          slots.entrySet().stream()
              .filter(e -> e.getValue().users == 0)
              .min(Comparator.comparingLong(e -> e.getValue().lastUse))
              .orElse(null);
      if (oldest == null) {
        throw new PriorArtException(
            ErrorKind.RESOURCE_EXHAUSTED,
            "model: %s in %s takes %d MB of weights; of the budget of %d MB models in use take %d MB"
                .formatted(
                    key.name,
                    key.precision.name().toLowerCase(Locale.ROOT),
                    bytes / 1_000_000,
                    budget / 1_000_000,
                    open / 1_000_000));
      }
      slots.remove(oldest.getKey());
      oldest.getValue().pipeline.close();
      open -= oldest.getValue().bytes;
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
