package dev.antiphon.client;

import io.grpc.Context;
import io.grpc.Deadline;
import io.grpc.Metadata;
import io.grpc.StatusRuntimeException;
import java.time.Duration;
import java.util.Iterator;
import java.util.NoSuchElementException;
import java.util.function.Consumer;

/**
 * What a server streams, over as many connections as it takes: an iterator to read in one thread, and to close when done.
 *
 * <p>{@link #hasNext()} waits for the next message and throws {@link AntiphonException} when the stream fails. {@link #close()} ends
 * the watching and may be called from another thread; the iteration ends then.
 */
public class ServerStream<T> implements Iterator<T>, AutoCloseable {
    private final Connection<?> connection;
    private final Context.CancellableContext context;
    private volatile boolean closed;
    private T next;

    <R> ServerStream(Transport transport, LoginSession login, Reader<R, T> reader, CallSettings settings, Retries retries, Deadline deadline) {
        this.context = Context.current().withCancellation();
        this.connection = new Connection<>(transport, login, reader, settings, retries, deadline);
    }

    @Override
    public boolean hasNext() {
        if (next == null && !closed) {
            Context caller = context.attach();
            try {
                next = connection.advance();
            } catch (RuntimeException e) {
                boolean asked = closed;
                close();
                if (!asked) {
                    throw e;
                }
            } finally {
                context.detach(caller);
            }
            if (next == null) {
                close();
            }
        }
        return next != null;
    }

    @Override
    public T next() {
        if (!hasNext()) {
            throw new NoSuchElementException();
        }
        T taken = next;
        next = null;
        return taken;
    }

    /** Ends the watching. */
    @Override
    public void close() {
        closed = true;
        context.cancel(null);
    }

    /** Metadata that came before the messages of the newest connection. */
    public Metadata headers() {
        return connection.current == null ? new Metadata() : connection.current.headers();
    }

    /** Metadata that came after the last message; empty before. */
    public Metadata trailers() {
        return connection.current == null ? new Metadata() : connection.current.trailers();
    }

    /** How many times the stream was asked for, the first time included. */
    public int tries() {
        return connection.attempts.tries();
    }

    void onReconnect(Consumer<Reconnect> listener) {
        connection.onReconnect = listener;
    }

    /** Told before a stream seeks its connection again: why it broke, which time this is, and after what pause. */
    public record Reconnect(AntiphonException failure, int count, Duration pause) {}

    /** The calls of one stream, one after the other. */
    private final class Connection<R> {
        private final Transport transport;
        private final LoginSession login;
        private final Reader<R, T> reader;
        private final CallSettings settings;
        private final Deadline deadline;
        private final Attempts attempts;
        private Iterator<? extends R> messages;
        private volatile Transport.Try current;
        private volatile Consumer<Reconnect> onReconnect = reconnect -> {};
        private String token = "";
        private String rejected = "";

        private Connection(Transport transport, LoginSession login, Reader<R, T> reader, CallSettings settings, Retries retries, Deadline deadline) {
            this.transport = transport;
            this.login = login;
            this.reader = reader;
            this.settings = settings;
            this.deadline = deadline;
            this.attempts = Attempts.ofStream(reader.nextCall(), retries, deadline);
        }

        private T advance() {
            while (!closed && !reader.ended()) {
                try {
                    T item = read();
                    if (item != null) {
                        return item;
                    }
                } catch (AntiphonException failure) {
                    recover(failure);
                }
            }
            drain();
            return null;
        }

        private T read() {
            if (messages == null) {
                messages = open(reader.nextCall());
            }
            try {
                while (messages.hasNext()) {
                    T item = reader.take(messages.next());
                    if (item != null) {
                        attempts.progressed();
                        rejected = "";
                        return item;
                    }
                }
            } catch (StatusRuntimeException e) {
                throw current.failure(e);
            }
            reader.cutShort();
            return null;
        }

        private <Q, S extends R> Iterator<S> open(Rpc<Q, S> rpc) {
            token = "";
            token = rpc.sendsCredential() ? login.token(rejected, deadline) : "";
            current = transport.new Try(rpc, settings, token, deadline);
            return current.open(rpc.method(), rpc.request());
        }

        private void recover(AntiphonException failure) {
            messages = null;
            if (reader.givesUp(failure)) {
                throw failure.after(attempts.tries());
            }
            if (Transport.renewalMayHelp(failure, token, rejected, login)) {
                rejected = token;
                return;
            }
            Duration pause = attempts.after(Transport.unlessCancelled(failure, attempts));
            onReconnect.accept(new Reconnect(failure, attempts.tries() - 1, pause));
            transport.pause(pause, attempts);
        }

        private void drain() {
            // Nothing follows the last message but the status; reading it brings the trailers and lets the call end well.
            try {
                while (!closed && messages != null && messages.hasNext()) {
                    messages.next();
                }
            } catch (StatusRuntimeException e) {
                messages = null;
            }
        }
    }
}
