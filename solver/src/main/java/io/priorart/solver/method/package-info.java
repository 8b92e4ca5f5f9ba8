/** Inverse solvers and baselines, one file each, and the final data step with its verdict. */
package io.priorart.solver.method;
