package io.priorart.api;

import static com.tngtech.archunit.lang.syntax.ArchRuleDefinition.noClasses;

import com.tngtech.archunit.core.importer.ImportOption;
import com.tngtech.archunit.junit.AnalyzeClasses;
import com.tngtech.archunit.junit.ArchTest;
import com.tngtech.archunit.lang.ArchRule;

/** The service maps messages to the runtime; arrays, pictures and networks are not its affair. */
@AnalyzeClasses(packages = "io.priorart.api", importOptions = ImportOption.DoNotIncludeTests.class)
class ArchitectureTest {
  @ArchTest
  static final ArchRule NO_ARRAYS =
      noClasses()
          .should()
          .dependOnClassesThat()
          .resideInAnyPackage("ai.djl..", "org.opencv..", "io.priorart.cli..", "picocli..");

  @ArchTest
  static final ArchRule ONE_PLACE_FOR_STATUS_DETAILS =
      noClasses()
          .that()
          .doNotHaveSimpleName("Failures")
          .should()
          .dependOnClassesThat()
          .resideInAPackage("com.google.rpc..");
}
