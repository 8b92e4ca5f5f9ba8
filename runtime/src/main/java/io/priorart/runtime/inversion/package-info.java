/** Pictures to the noise they come from, and edited, mixed or unchanged back again. */
package io.priorart.runtime.inversion;
