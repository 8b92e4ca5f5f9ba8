package io.priorart.api;

import com.google.protobuf.InvalidProtocolBufferException;
import com.google.protobuf.Message;
import com.google.protobuf.util.JsonFormat;
import io.priorart.runtime.Json;
import io.priorart.runtime.Report;
import io.priorart.runtime.inversion.InversionReport;
import io.priorart.solver.ErrorKind;
import io.priorart.solver.PriorArtException;

/** Reports as messages, by the JSON that both forms share. */
final class Reports {
  private Reports() {}

  static io.priorart.v1.Report message(Report report) {
    return merged(report, io.priorart.v1.Report.newBuilder()).build();
  }

  static io.priorart.v1.InversionReport message(InversionReport report) {
    return merged(report, io.priorart.v1.InversionReport.newBuilder()).build();
  }

  private static <B extends Message.Builder> B merged(Object report, B message) {
    try {
      JsonFormat.parser().merge(Json.text(report), message);
    } catch (InvalidProtocolBufferException e) {
      throw new PriorArtException(ErrorKind.INTERNAL, "the report does not fit its message", e);
    }
    return message;
  }
}
