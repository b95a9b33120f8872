package dev.antiphon.client;

import com.google.protobuf.Any;
import com.google.protobuf.InvalidProtocolBufferException;
import com.google.protobuf.Message;
import com.google.rpc.BadRequest;
import com.google.rpc.ErrorInfo;
import com.google.rpc.QuotaFailure;
import com.google.rpc.ResourceInfo;
import com.google.rpc.RetryInfo;
import dev.antiphon.client.AntiphonException.Details;
import dev.antiphon.client.AntiphonException.Quota;
import dev.antiphon.client.AntiphonException.Resource;
import dev.antiphon.client.AntiphonException.Violation;
import io.grpc.Context;
import io.grpc.Metadata;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.protobuf.StatusProto;
import java.nio.channels.ClosedChannelException;
import java.time.Duration;
import java.util.List;
import java.util.Optional;

/** From a gRPC status with google.rpc details to an AntiphonException. */
final class Failures {
    private static final Metadata.Key<String> REQUEST_ID =
            Metadata.Key.of("x-request-id", Metadata.ASCII_STRING_MARSHALLER);

    private Failures() {}

    /** {@code how} the {@code target} was spoken to. */
    static AntiphonException of(StatusRuntimeException failed, Metadata headers, String target, String how) {
        Metadata trailers = failed.getTrailers() == null ? new Metadata() : failed.getTrailers();
        Status.Code code = code(failed.getStatus());
        Details details = details(failed, trailers);
        String message = Optional.ofNullable(failed.getStatus().getDescription()).orElse(code.name());
        if (code == Status.Code.CANCELLED && Context.current().isCancelled()) {
            message = "the caller has cancelled";
        } else if (details.reason().isEmpty()) {
            message = switch (code) {
                case UNAVAILABLE -> target + " can't be reached " + how + ": " + cause(failed, message);
                case DEADLINE_EXCEEDED -> target + " did not answer in time";
                // Such as the answer of a server that speaks another protocol.
                case INTERNAL, UNKNOWN -> target + " failed: " + cause(failed, message);
                default -> message;
            };
        }
        return new AntiphonException(code, message, details, headers, trailers, failed);
    }

    private static Status.Code code(Status status) {
        // A call that begins while its connection ends: https://github.com/grpc/grpc-java/issues/7376
        boolean broken = status.getCode() == Status.Code.UNKNOWN && status.getCause() instanceof ClosedChannelException;
        return broken ? Status.Code.UNAVAILABLE : status.getCode();
    }

    /** What lies below gRPC's "io exception", such as a refused connection or a certificate that is not trusted. */
    private static String cause(Throwable failed, String otherwise) {
        Throwable deepest = failed;
        while (deepest.getCause() != null) {
            deepest = deepest.getCause();
        }
        String below = deepest == failed ? null : deepest.getMessage();
        return below == null || otherwise.contains(below) ? otherwise : below;
    }

    private static Details details(StatusRuntimeException failed, Metadata trailers) {
        List<Any> all = all(failed);
        ErrorInfo info = find(all, ErrorInfo.getDefaultInstance()).orElse(ErrorInfo.getDefaultInstance());
        String requestId = Optional.ofNullable(trailers.get(REQUEST_ID))
                .orElse(info.getMetadataOrDefault("request_id", ""));
        return new Details(
                info.getReason(),
                info.getDomain(),
                info.getMetadataMap(),
                find(all, BadRequest.getDefaultInstance()).stream()
                        .flatMap(bad -> bad.getFieldViolationsList().stream())
                        .map(each -> new Violation(each.getField(), each.getDescription()))
                        .toList(),
                find(all, RetryInfo.getDefaultInstance())
                        .map(RetryInfo::getRetryDelay)
                        .map(delay -> Duration.ofSeconds(delay.getSeconds(), delay.getNanos()))
                        .orElse(null),
                find(all, QuotaFailure.getDefaultInstance()).stream()
                        .flatMap(quotas -> quotas.getViolationsList().stream())
                        .map(each -> new Quota(each.getSubject(), each.getDescription()))
                        .toList(),
                find(all, ResourceInfo.getDefaultInstance())
                        .map(about -> new Resource(about.getResourceType(), about.getResourceName()))
                        .orElse(null),
                requestId);
    }

    private static List<Any> all(StatusRuntimeException failed) {
        try {
            com.google.rpc.Status status = StatusProto.fromThrowable(failed);
            return status == null ? List.of() : status.getDetailsList();
        } catch (IllegalArgumentException e) {
            // A proxy may have put another code in front of the server's details; the code that arrived counts.
            return List.of();
        }
    }

    private static <T extends Message> Optional<T> find(List<Any> details, T prototype) {
        for (Any detail : details) {
            if (detail.is(prototype.getClass())) {
                try {
                    @SuppressWarnings("unchecked")
                    T found = (T) detail.unpack(prototype.getClass());
                    return Optional.of(found);
                } catch (InvalidProtocolBufferException e) {
                    // A detail that can't be read is worth less than the failure that it belongs to.
                    return Optional.empty();
                }
            }
        }
        return Optional.empty();
    }
}
