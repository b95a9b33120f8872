package dev.antiphon.client;

import dev.antiphon.errors.v1.ErrorReason;
import io.grpc.Metadata;
import io.grpc.Status;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/**
 * A call that failed.
 *
 * <p>{@link #code()} is gRPC's word. {@link #reason()} is the server's: a name of {@code antiphon.errors.v1.ErrorReason} without its
 * prefix, and empty when the failure is not the server's own, as when nothing could be reached.
 */
public final class AntiphonException extends RuntimeException {
    private static final long serialVersionUID = 1L;

    /** A field of the request that broke its rule. */
    public record Violation(String field, String description) {}

    /** A limit that was reached, and for whom. */
    public record Quota(String subject, String description) {}

    /** What was not found. */
    public record Resource(String type, String name) {}

    /** All that a status and its google.rpc details say, beside the code. */
    record Details(
            String reason,
            String domain,
            Map<String, String> metadata,
            List<Violation> violations,
            Duration retryAfter,
            List<Quota> quotas,
            Resource resource,
            String requestId) {
        static final Details NONE = new Details("", "", Map.of(), List.of(), null, List.of(), null, "");

        static Details because(String reason) {
            return new Details(reason, "", Map.of(), List.of(), null, List.of(), null, "");
        }
    }

    private final Status.Code code;
    private final transient Details details;
    private final transient Metadata headers;
    private final transient Metadata trailers;
    private int tries = 1;

    AntiphonException(
            Status.Code code, String message, Details details, Metadata headers, Metadata trailers, Throwable cause) {
        super(message, cause);
        this.code = code;
        this.details = details;
        this.headers = headers;
        this.trailers = trailers;
    }

    AntiphonException(Status.Code code, String message, Details details) {
        this(code, message, details, new Metadata(), new Metadata(), null);
    }

    /** The canonical status code. */
    public Status.Code code() {
        return code;
    }

    /** Why the server refused or failed, such as {@code MODEL_NOT_FOUND}; empty when it is not the server's own word. */
    public String reason() {
        return details.reason();
    }

    /** The reason as a value of the contract; {@code ERROR_REASON_UNSPECIFIED} when it is not the server's word, or newer than this client. */
    public ErrorReason reasonValue() {
        try {
            return ErrorReason.valueOf("ERROR_REASON_" + reason());
        } catch (IllegalArgumentException unknown) {
            return ErrorReason.ERROR_REASON_UNSPECIFIED;
        }
    }

    /** Whose reason it is: {@code antiphon}, or empty. */
    public String domain() {
        return details.domain();
    }

    /** What belongs to the reason, such as the model's name. */
    public Map<String, String> metadata() {
        return details.metadata();
    }

    /** The fields that broke their rules. */
    public List<Violation> violations() {
        return details.violations();
    }

    /** When the server asks to come again. */
    public Optional<Duration> retryAfter() {
        return Optional.ofNullable(details.retryAfter());
    }

    /** The limits that were reached. */
    public List<Quota> quotas() {
        return details.quotas();
    }

    /** What was not found. */
    public Optional<Resource> resource() {
        return Optional.ofNullable(details.resource());
    }

    /** Finds the call in the server's log; empty when the server was not reached. */
    public String requestId() {
        return details.requestId();
    }

    /** The metadata that came before the failure. */
    public Metadata headers() {
        return headers;
    }

    /** The metadata that came with the failure, such as {@code ratelimit-remaining}. */
    public Metadata trailers() {
        return trailers;
    }

    /** How many times the call was tried. */
    public int tries() {
        return tries;
    }

    @Override
    public String toString() {
        String name = reason().isEmpty() ? code.name() : code + " (" + reason() + ")";
        return "AntiphonException: " + name + ": " + getMessage();
    }

    /** The same for another caller, who counts tries of their own. */
    AntiphonException again() {
        return new AntiphonException(code, getMessage(), details, headers, trailers, this);
    }

    AntiphonException after(int tries) {
        this.tries = tries;
        return this;
    }
}
