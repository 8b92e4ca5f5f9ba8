package io.priorart.models.tokenizer;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Base64;
import java.util.List;

/**
 * What a unigram {@code spiece.model} holds (Kudo and Richardson, "SentencePiece", EMNLP 2018,
 * arXiv 1808.06226; the message {@code ModelProto} of its {@code sentencepiece_model.proto}).
 *
 * @param pieces with scores and kinds, in the order of their ids
 * @param charsMap the compiled normalisation of characters, empty for none
 */
record SentencePieceModel(List<Piece> pieces, byte[] charsMap) {
  private static final ObjectMapper JSON = new ObjectMapper();
  private static final int UNIGRAM = 1;

  // SentencePiece.Type
  private static final int NORMAL = 1;
  private static final int UNKNOWN = 2;
  private static final int CONTROL = 3;

  /** What stands for a space. */
  private static final String SPACE = "\u2581";

  /** T5's sentinels, which every tokenizer of it has behind its pieces. */
  private static final int SENTINELS = 100;

  record Piece(String text, float score, int type) {}

  /**
   * @throws IllegalArgumentException for what is no unigram model
   */
  static SentencePieceModel parse(byte[] bytes) {
    List<Piece> pieces = new ArrayList<>();
    byte[] charsMap = {};
    int type = UNIGRAM;
    for (Message model = new Message(bytes); model.next(); ) {
      if (model.field == 1) {
        pieces.add(piece(model.bytes()));
      } else if (model.field == 2) {
        for (Message trainer = new Message(model.bytes()); trainer.next(); ) {
          if (trainer.field == 3) {
            type = (int) trainer.number;
          }
        }
      } else if (model.field == 3) {
        for (Message normalizer = new Message(model.bytes()); normalizer.next(); ) {
          if (normalizer.field == 2) {
            charsMap = normalizer.bytes();
          }
        }
      }
    }
    if (type != UNIGRAM || pieces.isEmpty()) {
      throw new IllegalArgumentException("it is no unigram model of SentencePiece");
    }
    return new SentencePieceModel(pieces, charsMap);
  }

  private static Piece piece(byte[] bytes) {
    String text = "";
    float score = 0;
    int type = NORMAL;
    for (Message piece = new Message(bytes); piece.next(); ) {
      if (piece.field == 1) {
        text = new String(piece.bytes(), StandardCharsets.UTF_8);
      } else if (piece.field == 2) {
        score = Float.intBitsToFloat((int) piece.number);
      } else if (piece.field == 3) {
        type = (int) piece.number;
      }
    }
    return new Piece(text, score, type);
  }

  /** The same tokenizer as Hugging Face's library reads it, with T5's sentinels. */
  byte[] tokenizerJson() {
    ObjectNode root = JSON.createObjectNode().put("version", "1.0");
    ArrayNode added = root.putArray("added_tokens");
    ObjectNode model = JSON.createObjectNode().put("type", "Unigram");
    ArrayNode vocabulary = model.putArray("vocab");
    for (int i = 0; i < pieces.size(); i++) {
      Piece piece = pieces.get(i);
      vocabulary.addArray().add(piece.text()).add(piece.score());
      if (piece.type() == UNKNOWN) {
        model.put("unk_id", i);
      }
      if (piece.type() == CONTROL || piece.type() == UNKNOWN) {
        special(added, i, piece.text());
      }
    }
    for (int i = 0; i < SENTINELS; i++) {
      String sentinel = "<extra_id_" + (SENTINELS - 1 - i) + ">";
      vocabulary.addArray().add(sentinel).add(0);
      special(added, pieces.size() + i, sentinel);
    }
    if (charsMap.length > 0) {
      root.putObject("normalizer")
          .put("type", "Precompiled")
          .put("precompiled_charsmap", Base64.getEncoder().encodeToString(charsMap));
    }
    ArrayNode steps =
        root.putObject("pre_tokenizer").put("type", "Sequence").putArray("pretokenizers");
    steps.addObject().put("type", "WhitespaceSplit");
    steps
        .addObject()
        .put("type", "Metaspace")
        .put("replacement", SPACE)
        .put("prepend_scheme", "always")
        .put("split", true);
    root.set("model", model);
    try {
      return JSON.writeValueAsBytes(root);
    } catch (JsonProcessingException e) {
      throw new IllegalStateException(e);
    }
  }

  private static void special(ArrayNode added, int id, String text) {
    added
        .addObject()
        .put("id", id)
        .put("content", text)
        .put("single_word", false)
        .put("lstrip", false)
        .put("rstrip", false)
        .put("normalized", false)
        .put("special", true);
  }

  /** The fields of a protocol buffers message, one after the other. */
  private static final class Message {
    private final ByteBuffer in;
    private int field;

    /** Of a number, or the length of bytes, which {@link #bytes} reads. */
    private long number;

    Message(byte[] bytes) {
      in = ByteBuffer.wrap(bytes).order(ByteOrder.LITTLE_ENDIAN);
    }

    private boolean unread;

    boolean next() {
      if (unread) {
        bytes();
      }
      if (!in.hasRemaining()) {
        return false;
      }
      long tag = varint();
      field = (int) (tag >>> 3);
      switch ((int) tag & 7) {
        case 0 -> number = varint();
        case 1 -> number = fixed(Long.BYTES);
        case 5 -> number = fixed(Integer.BYTES);
        case 2 -> {
          number = varint();
          if (number < 0 || number > in.remaining()) {
            throw broken();
          }
          unread = true;
        }
        default -> throw broken();
      }
      return true;
    }

    byte[] bytes() {
      if (!unread) {
        throw broken();
      }
      unread = false;
      byte[] found = new byte[(int) number];
      in.get(found);
      return found;
    }

    private long fixed(int size) {
      if (in.remaining() < size) {
        throw broken();
      }
      return size == Long.BYTES ? in.getLong() : in.getInt();
    }

    private long varint() {
      long value = 0;
      for (int shift = 0; shift < 70; shift += 7) {
        if (!in.hasRemaining()) {
          throw broken();
        }
        byte b = in.get();
        value |= (long) (b & 0x7f) << shift;
        if (b >= 0) {
          return value;
        }
      }
      throw broken();
    }

    private static IllegalArgumentException broken() {
      return new IllegalArgumentException("it is no SentencePiece model, or cut off");
    }
  }
}
