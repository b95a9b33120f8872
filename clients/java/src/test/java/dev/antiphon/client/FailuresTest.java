package dev.antiphon.client;

import static org.junit.jupiter.api.Assertions.assertEquals;

import io.grpc.Metadata;
import io.grpc.Status;
import io.grpc.Status.Code;
import java.io.IOException;
import java.net.ConnectException;
import java.nio.channels.ClosedChannelException;
import org.junit.jupiter.api.Test;

class FailuresTest {
    @Test
    void aConnectionThatEndsWhileACallBeginsIsABrokenOne() {
        Status closed = Status.UNKNOWN.withDescription("channel closed").withCause(new ClosedChannelException());
        assertEquals(Code.UNAVAILABLE, failure(closed).code());
        assertEquals(Code.UNKNOWN, failure(Status.UNKNOWN.withDescription("something else")).code());
    }

    @Test
    void whatLiesBelowIsTold() {
        Status refused = Status.UNAVAILABLE
                .withDescription("io exception")
                .withCause(new IOException("connect", new ConnectException("Connection refused")));
        assertEquals("host:1 can't be reached in plain text: Connection refused", failure(refused).getMessage());
        Status unknown = Status.UNAVAILABLE
                .withDescription("Unable to resolve host nowhere")
                .withCause(new IOException("nowhere"));
        assertEquals(
                "host:1 can't be reached in plain text: Unable to resolve host nowhere", failure(unknown).getMessage());
    }

    private static AntiphonException failure(Status status) {
        return Failures.of(status.asRuntimeException(), new Metadata(), "host:1", "in plain text");
    }
}
