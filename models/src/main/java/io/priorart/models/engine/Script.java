package io.priorart.models.engine;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.zip.CRC32;
import java.util.zip.ZipEntry;
import java.util.zip.ZipOutputStream;

/**
 * A compiled network: TorchScript source and the weights it expects. Compiling takes milliseconds,
 * so nothing is cached on disk (docs/adr/0001).
 *
 * @param className the script's class
 * @param code TorchScript source; every line ends in a comment that names the Java line it came
 *     from
 * @param weights in the order of the list attribute {@code ws}
 * @param listAttributes attributes of type {@code List[Tensor]}, {@code ws} first
 * @param precision that the weights are converted to
 */
public record Script(
    String className,
    String code,
    List<TensorSpec> weights,
    List<String> listAttributes,
    Precision precision) {

  /** The archive that {@code torch.jit.load} reads: a zip of stored entries, no tensors inside. */
  byte[] archive() {
    ByteArrayOutputStream bytes = new ByteArrayOutputStream(code.length() + 4096);
    try (ZipOutputStream zip = new ZipOutputStream(bytes)) {
      zip.setMethod(ZipOutputStream.STORED);
      entry(zip, "data.pkl", pickledObject());
      entry(zip, "code/__torch__.py", code.getBytes(StandardCharsets.UTF_8));
      entry(zip, "constants.pkl", new byte[] {(byte) 0x80, 2, ')', '.'});
      entry(zip, "version", "10\n".getBytes(StandardCharsets.US_ASCII));
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
    return bytes.toByteArray();
  }

  private static void entry(ZipOutputStream zip, String name, byte[] content) throws IOException {
    ZipEntry entry = new ZipEntry("archive/" + name);
    entry.setSize(content.length);
    entry.setCompressedSize(content.length);
    CRC32 crc = new CRC32();
    crc.update(content);
    entry.setCrc(crc.getValue());
    zip.putNextEntry(entry);
    zip.write(content);
    zip.closeEntry();
  }

  /** Protocol-2 pickle of an instance whose list attributes are empty. */
  private byte[] pickledObject() {
    ByteArrayOutputStream out = new ByteArrayOutputStream();
    ascii(out, "\u0080\u0002c__torch__\n" + className + "\n)\u0081}(");
    text(out, "training");
    out.write(0x89);
    for (String attribute : listAttributes) {
      text(out, attribute);
      ascii(out, "ctorch.jit._pickle\nbuild_tensorlist\n]\u0085R");
    }
    ascii(out, "ub.");
    return out.toByteArray();
  }

  private static void text(ByteArrayOutputStream out, String s) {
    ascii(out, "X");
    out.write(s.length());
    ascii(out, "\0\0\0" + s);
  }

  private static void ascii(ByteArrayOutputStream out, String s) {
    out.writeBytes(s.getBytes(StandardCharsets.ISO_8859_1));
  }
}
