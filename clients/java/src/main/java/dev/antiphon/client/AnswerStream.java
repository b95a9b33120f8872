package dev.antiphon.client;

import dev.antiphon.chat.v1.ChatEvent;
import dev.antiphon.chat.v1.Finished;
import dev.antiphon.chat.v1.Started;
import io.grpc.Deadline;
import java.util.Optional;
import java.util.function.Consumer;

/**
 * A generation's events, each once and in order, whatever happens to the connection in between.
 *
 * <p>Adjacent deltas may come merged; their concatenation is always the same. Closing the stream ends the watching, not the generation:
 * {@code on_disconnect} of the request tells what becomes of it. To go on in another process, keep {@link #generationId()},
 * {@link #seq()} and, for anonymous callers, {@link #resumeToken()}, and give them to {@link AntiphonClient#resume}.
 */
public final class AnswerStream extends ServerStream<ChatEvent> {
    private final RecordReader reader;

    AnswerStream(Transport transport, LoginSession login, RecordReader reader, CallSettings settings, Retries retries, Deadline deadline) {
        super(transport, login, reader, settings, retries, deadline);
        this.reader = reader;
    }

    /** Calls {@code listener} each time the connection has broken and is about to be sought again, in the reading thread. */
    public AnswerStream whenReconnecting(Consumer<Reconnect> listener) {
        onReconnect(listener);
        return this;
    }

    /** The generation; empty until {@code started} has come. */
    public String generationId() {
        return reader.generationId;
    }

    /** What an anonymous caller needs to resume or cancel; empty for others. */
    public String resumeToken() {
        return reader.resumeToken;
    }

    /** The last position that was taken. */
    public long seq() {
        return reader.seq;
    }

    /** How many times the connection was sought again. */
    public int reconnects() {
        return tries() - 1;
    }

    /** The first event's content, once it has come. */
    public Optional<Started> started() {
        return Optional.ofNullable(reader.started);
    }

    /** The last event's content, once it has come. */
    public Optional<Finished> finished() {
        return Optional.ofNullable(reader.finished);
    }

    /** Reads to the end: all text deltas together. */
    public String text() {
        StringBuilder text = new StringBuilder();
        forEachRemaining(event -> text.append(event.getTextDelta().getText()));
        return text.toString();
    }
}
