package io.priorart.api;

import com.google.protobuf.ByteString;
import com.google.protobuf.Descriptors.FieldDescriptor;
import com.google.protobuf.Message;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;

/** Makes messages hostile: any field of a valid one may become anything its type allows. */
final class Mutator {
  private static final double[] NUMBERS = {
    0,
    -0.0,
    1,
    -1,
    2,
    1e-300,
    1e300,
    -1e300,
    0.5,
    7.5,
    4096,
    65537,
    Double.NaN,
    Double.POSITIVE_INFINITY,
    Double.NEGATIVE_INFINITY,
    Double.MIN_VALUE,
    Integer.MAX_VALUE
  };
  private static final long[] INTEGERS = {
    0,
    1,
    -1,
    2,
    3,
    255,
    1000,
    65536,
    Integer.MAX_VALUE,
    Integer.MIN_VALUE,
    Long.MAX_VALUE,
    Long.MIN_VALUE
  };
  private static final String[] TEXTS = {
    "",
    " ",
    "tv",
    "wiener",
    "inpainting",
    "gaussian-blur",
    "identity",
    "mask",
    "kernel",
    "sigma",
    "../../etc/passwd",
    "\u0000",
    "\ud83d\ude00",
    "latent-v1",
    "cpu",
    "cuda:0",
    "paper",
    "1,1,4,4"
  };

  private final Random random;

  Mutator(long seed) {
    random = new Random(seed);
  }

  /** One to three fields of the message or of those inside it, changed. */
  Message mutate(Message message) {
    Message result = message;
    for (int n = 1 + random.nextInt(3); n > 0; n--) {
      result = once(result);
    }
    return result;
  }

  private Message once(Message message) {
    List<FieldDescriptor> fields = message.getDescriptorForType().getFields();
    if (fields.isEmpty()) {
      return message;
    }
    List<FieldDescriptor> present = new ArrayList<>(message.getAllFields().keySet());
    // mostly what is there, sometimes what is not
    List<FieldDescriptor> from = present.isEmpty() || random.nextInt(4) == 0 ? fields : present;
    FieldDescriptor field = from.get(random.nextInt(from.size()));
    Message.Builder builder = message.toBuilder();
    if (field.isRepeated()) {
      repeated(message, builder, field);
    } else if (random.nextInt(12) == 0) {
      builder.clearField(field);
    } else {
      builder.setField(field, value(field, message.getField(field), builder));
    }
    return builder.build();
  }

  private void repeated(Message message, Message.Builder builder, FieldDescriptor field) {
    int count = message.getRepeatedFieldCount(field);
    if (count == 0 || random.nextInt(4) == 0) {
      Object fresh =
          field.getJavaType() == FieldDescriptor.JavaType.MESSAGE
              ? once(builder.newBuilderForField(field).build())
              : value(field, "", builder);
      for (int n = random.nextInt(8) == 0 ? 40 : 1; n > 0; n--) {
        builder.addRepeatedField(field, count > 0 ? message.getRepeatedField(field, 0) : fresh);
      }
    } else {
      int at = random.nextInt(count);
      builder.setRepeatedField(
          field, at, value(field, message.getRepeatedField(field, at), builder));
    }
  }

  private Object value(FieldDescriptor field, Object old, Message.Builder builder) {
    return switch (field.getJavaType()) {
      case MESSAGE -> once((Message) old);
      case BYTE_STRING -> ByteString.copyFrom(bytes(((ByteString) old).toByteArray()));
      case STRING -> text(old.toString());
      case DOUBLE -> NUMBERS[random.nextInt(NUMBERS.length)];
      case FLOAT -> (float) NUMBERS[random.nextInt(NUMBERS.length)];
      case LONG -> INTEGERS[random.nextInt(INTEGERS.length)];
      case INT -> (int) INTEGERS[random.nextInt(INTEGERS.length)];
      case BOOLEAN -> random.nextBoolean();
      case ENUM -> field.getEnumType().findValueByNumberCreatingIfUnknown(random.nextInt(12) - 2);
    };
  }

  private String text(String old) {
    return switch (random.nextInt(4)) {
      case 0 -> TEXTS[random.nextInt(TEXTS.length)];
      case 1 -> old + TEXTS[random.nextInt(TEXTS.length)];
      case 2 -> old.isEmpty() ? "x" : old.substring(random.nextInt(old.length()));
      default -> "x".repeat(random.nextInt(20_000));
    };
  }

  /** Flipped, cut, repeated or overwritten in places. */
  byte[] bytes(byte[] old) {
    byte[] bytes = old.clone();
    if (bytes.length == 0) {
      bytes = new byte[random.nextInt(64)];
      random.nextBytes(bytes);
      return bytes;
    }
    for (int n = 1 + random.nextInt(6); n > 0 && bytes.length > 0; n--) {
      // headers are at the front: half of the changes go there
      int bound = random.nextBoolean() ? Math.min(bytes.length, 128) : bytes.length;
      int at = random.nextInt(bound);
      switch (random.nextInt(5)) {
        case 0 -> bytes[at] ^= (byte) (1 << random.nextInt(8));
        case 1 -> bytes[at] = (byte) (random.nextBoolean() ? 0xff : 0);
        case 2 -> bytes = java.util.Arrays.copyOf(bytes, at);
        case 3 -> {
          for (int i = at; i < Math.min(bytes.length, at + 4); i++) {
            bytes[i] = (byte) random.nextInt();
          }
        }
        default -> {
          int to = Math.min(bytes.length, at + 1 + random.nextInt(64));
          byte[] longer = new byte[bytes.length + to - at];
          System.arraycopy(bytes, 0, longer, 0, to);
          System.arraycopy(bytes, at, longer, to, bytes.length - at);
          bytes = longer;
        }
      }
    }
    return bytes;
  }
}
