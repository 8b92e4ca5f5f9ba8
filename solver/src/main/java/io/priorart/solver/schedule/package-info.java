/** Noise schedules of checkpoints, in host doubles. */
package io.priorart.solver.schedule;
