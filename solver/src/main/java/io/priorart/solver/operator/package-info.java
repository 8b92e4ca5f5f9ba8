/**
 * What a camera does to a picture, and how to undo it: the forward operators and the registry of
 * them.
 */
package io.priorart.solver.operator;
