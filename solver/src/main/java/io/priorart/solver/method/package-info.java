/** Inverse solvers and baselines, one file each, and the final steps with their verdict. */
package io.priorart.solver.method;
