package io.priorart.solver;

import java.lang.annotation.ElementType;
import java.lang.annotation.Retention;
import java.lang.annotation.RetentionPolicy;
import java.lang.annotation.Target;

/**
 * Documents and bounds a component of a parameter record; CLI options, JSON and gRPC schemas and
 * reference pages derive from it through {@link ParameterSchema}.
 */
@Retention(RetentionPolicy.RUNTIME)
@Target(ElementType.RECORD_COMPONENT)
public @interface Parameter {
  /** One sentence. */
  String doc();

  /**
   * Unit of a number: "pixels", "degrees", "[0,1] pixel scale"; empty for a pure number or a
   * non-number.
   */
  String unit() default "";

  /** Least allowed value of a number, inclusive. */
  double min() default Double.NEGATIVE_INFINITY;

  /** Largest allowed value of a number, inclusive. */
  double max() default Double.POSITIVE_INFINITY;

  /**
   * Whether a request may leave the component out although it has no default; it is then {@code
   * null}.
   */
  boolean optional() default false;
}
