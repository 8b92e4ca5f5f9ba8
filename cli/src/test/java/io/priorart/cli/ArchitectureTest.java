package io.priorart.cli;

import static com.tngtech.archunit.lang.syntax.ArchRuleDefinition.noClasses;

import com.tngtech.archunit.core.importer.ImportOption;
import com.tngtech.archunit.junit.AnalyzeClasses;
import com.tngtech.archunit.junit.ArchTest;
import com.tngtech.archunit.lang.ArchRule;

/** The dependency lines of CONTRIBUTING.md. */
@AnalyzeClasses(packages = "io.priorart", importOptions = ImportOption.DoNotIncludeTests.class)
class ArchitectureTest {
  @ArchTest
  static final ArchRule SOLVER_IS_MATHEMATICS =
      noClasses()
          .that()
          .resideInAPackage("io.priorart.solver..")
          .should()
          .dependOnClassesThat()
          .resideInAnyPackage(
              "io.priorart.models..",
              "io.priorart.runtime..",
              "io.priorart.cli..",
              "io.priorart.v1..",
              "ai.djl.pytorch..",
              "org.opencv..",
              "java.nio.file..",
              "java.net..");

  @ArchTest
  static final ArchRule MODELS_KNOW_NO_RUNTIME =
      noClasses()
          .that()
          .resideInAPackage("io.priorart.models..")
          .should()
          .dependOnClassesThat()
          .resideInAnyPackage("io.priorart.runtime..", "io.priorart.cli..", "org.opencv..");

  @ArchTest
  static final ArchRule RUNTIME_KNOWS_NO_DOOR =
      noClasses()
          .that()
          .resideInAPackage("io.priorart.runtime..")
          .should()
          .dependOnClassesThat()
          .resideInAnyPackage("io.priorart.cli..", "picocli..", "ai.djl.pytorch..", "jakarta..");

  @ArchTest
  static final ArchRule THE_WIRE_IS_KNOWN_BY_ITS_DOORS_ALONE =
      noClasses()
          .that()
          .resideOutsideOfPackage("io.priorart.v1..")
          .and()
          .haveNameNotMatching("io\\.priorart\\.cli\\.RemoteDoor.*")
          .should()
          .dependOnClassesThat()
          .resideInAnyPackage("io.priorart.v1..", "io.grpc..", "com.google.protobuf..");

  @ArchTest
  static final ArchRule OPENCV_LIVES_IN_RUNTIME_IMAGE =
      noClasses()
          .that()
          .resideOutsideOfPackage("io.priorart.runtime.image..")
          .should()
          .dependOnClassesThat()
          .resideInAnyPackage("org.opencv..", "nu.pattern..");
}
