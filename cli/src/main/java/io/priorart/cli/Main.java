package io.priorart.cli;

import io.priorart.solver.ErrorKind;
import io.priorart.solver.PriorArtException;
import picocli.CommandLine;
import picocli.CommandLine.Command;

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
      InvertCommand.class,
      EditCommand.class,
      InterpolateCommand.class,
      CatalogueCommands.Models.class,
      CatalogueCommands.SolverList.class,
      CatalogueCommands.OperatorList.class,
      CatalogueCommands.InversionList.class,
      ModelCommand.class,
      TrainCommand.class,
      BenchCommand.class,
      ServeCommand.class
    })
public final class Main {

  private Main() {}

  static CommandLine commandLine() {
    return new CommandLine(new Main());
  }

  /** Runs a command line without leaving the JVM. */
  public static int run(String... args) {
    return configured(commandLine()).execute(args);
  }

  static CommandLine configured(CommandLine command) {
    return command
        .setCaseInsensitiveEnumValuesAllowed(true)
        .setExecutionExceptionHandler((e, failed, parsed) -> explain(e));
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
