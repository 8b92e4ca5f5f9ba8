package io.priorart.models.engine;

/**
 * A symbolic tensor inside a script.
 *
 * @param expression the variable that holds it
 */
public record Value(String expression) {
  @Override
  public String toString() {
    return expression;
  }
}
