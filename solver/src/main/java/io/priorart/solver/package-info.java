/**
 * The mathematics: operators, noise, schedules and solvers. No files, no network, no engine
 * internals.
 */
package io.priorart.solver;
