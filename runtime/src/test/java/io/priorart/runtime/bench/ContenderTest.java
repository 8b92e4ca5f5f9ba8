package io.priorart.runtime.bench;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.priorart.solver.PriorArtException;
import org.junit.jupiter.api.Test;

class ContenderTest {
  @Test
  void readsWhatItIsCalled() {
    for (String name : new String[] {"tv", "diffpir*8", "opencv-nlm*3"}) {
      assertEquals(name, Contender.parse(name).name());
    }
    assertEquals(8, Contender.parse("diffpir*8").samples());
    assertEquals("tv", Contender.parse("tv*1").name());
    assertEquals("wrong-blur-5-as-3", QualityTask.defaults().get(6).name());
  }

  @Test
  void refusesOthers() {
    PriorArtException e = assertThrows(PriorArtException.class, () -> Contender.parse("tv*0"));
    assertTrue(e.getMessage().startsWith("solver: must give"), e.getMessage());
    assertThrows(PriorArtException.class, () -> Contender.parse("tv*"));
    assertThrows(PriorArtException.class, () -> Contender.parse("tvv"));
  }
}
