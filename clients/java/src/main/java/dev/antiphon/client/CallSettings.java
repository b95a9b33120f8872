package dev.antiphon.client;

import io.grpc.Metadata;
import java.time.Duration;

/**
 * What a call takes beside its request. Immutable; begin with {@link #DEFAULT}.
 *
 * @param timeout for the whole call, tries and pauses included; null for the client's own
 * @param metadata sent beside the request; {@code authorization} takes the place of the client's token
 * @param makesRequestId whether a request without a {@code request_id} gets one
 */
public record CallSettings(Duration timeout, Metadata metadata, boolean makesRequestId) {
    /** The client's timeout, nothing beside the request. */
    public static final CallSettings DEFAULT = new CallSettings(null, new Metadata(), true);

    /** Takes a copy of the metadata. */
    public CallSettings {
        metadata = copy(metadata);
    }

    /** A copy of the metadata. */
    @Override
    public Metadata metadata() {
        return copy(metadata);
    }

    /** The same with a limit to the whole call. */
    public CallSettings timeout(Duration timeout) {
        return new CallSettings(timeout, metadata, makesRequestId);
    }

    /** The same with one more piece of metadata: {@code key} in lower case, {@code value} in printable ASCII. */
    public CallSettings metadata(String key, String value) {
        if (!value.chars().allMatch(each -> each >= ' ' && each < 127)) {
            // gRPC would log it and send the call without it.
            throw new IllegalArgumentException("the value of " + key + " has other characters than printable ASCII");
        }
        Metadata more = metadata();
        more.put(Metadata.Key.of(key, Metadata.ASCII_STRING_MARSHALLER), value);
        return new CallSettings(timeout, more, makesRequestId);
    }

    /** The same, and the request goes out without a {@code request_id}: nothing protects it from being done twice, so it is not repeated. */
    public CallSettings withoutRequestId() {
        return new CallSettings(timeout, metadata, false);
    }

    /** Without the values of the metadata, which may be credentials. */
    @Override
    public String toString() {
        return "CallSettings[timeout=" + timeout + ", metadata=" + metadata.keys() + ", makesRequestId=" + makesRequestId + "]";
    }

    private static Metadata copy(Metadata metadata) {
        Metadata copy = new Metadata();
        copy.merge(metadata);
        return copy;
    }
}
