package io.priorart.cli;

import io.priorart.solver.ErrorKind;
import io.priorart.solver.PriorArtException;
import java.util.concurrent.Callable;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.Spec;

/** The {@code priorart} command. Exit codes: 0 ok, 2 usage or bad input, 1 failure. */
@Command(
    name = "priorart",
    description = "Restores pictures with diffusion priors.",
    mixinStandardHelpOptions = true,
    version = "priorart 0.1.0-SNAPSHOT",
    subcommands = {
      RestoreCommand.class,
      DegradeCommand.class,
      SampleCommand.class,
      CompareCommand.class,
      CatalogueCommands.Models.class,
      CatalogueCommands.SolverList.class,
      CatalogueCommands.OperatorList.class,
      ModelCommand.class,
      TrainCommand.class,
      BenchCommand.class
    })
public final class Main implements Callable<Integer> {
  @Spec private CommandSpec spec;

  private Main() {}

  @Override
  public Integer call() {
    throw new ParameterException(spec.commandLine(), "name a command");
  }

  /** Runs a command line without leaving the JVM. */
  public static int run(String... args) {
    return new CommandLine(new Main())
        .setCaseInsensitiveEnumValuesAllowed(true)
        .setExecutionExceptionHandler((e, command, parsed) -> explain(e))
        .execute(args);
  }

  public static void main(String[] args) {
    System.exit(run(args));
  }

  private static int explain(Exception e) {
    if (e instanceof PriorArtException problem) {
      System.err.println("priorart: " + problem.getMessage());
      if (problem.kind() == ErrorKind.INTERNAL) {
        problem.printStackTrace();
      }
      return problem.kind().callersFault() ? 2 : 1;
    }
    System.err.println("priorart: internal failure, please report it");
    e.printStackTrace();
    return 1;
  }
}
