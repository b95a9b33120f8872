package dev.antiphon.client;

import dev.antiphon.client.AntiphonException.Details;
import io.grpc.Deadline;
import io.grpc.Status.Code;
import java.time.Duration;
import java.util.EnumSet;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.Executor;
import java.util.concurrent.TimeUnit;
import java.util.function.UnaryOperator;

/** Who calls: gives the access token, and renews it once for all callers who wait. */
final class LoginSession {
    private static final Duration REFRESH_BEFORE = Duration.ofSeconds(30);
    // A renewal that failed is let be for so long while the token lives, where the server names no other time.
    private static final Duration REST = Duration.ofSeconds(1);

    // Failures that say nothing against a token: one that still lives is used on.
    private static final Set<Code> TRANSIENT = EnumSet.of(
            Code.UNAVAILABLE, Code.RESOURCE_EXHAUSTED, Code.DEADLINE_EXCEEDED, Code.INTERNAL, Code.UNKNOWN);

    private final UnaryOperator<Tokens> refresh;
    private final Executor executor;
    private Tokens tokens;
    private Deadline rests = Deadline.after(0, TimeUnit.SECONDS);
    private CompletableFuture<Tokens> renewal;

    /** {@code refresh} is one try, since whoever needs the tokens has a retry loop already; {@code executor} runs it. */
    LoginSession(Tokens tokens, UnaryOperator<Tokens> refresh, Executor executor) {
        this.tokens = tokens;
        this.refresh = refresh;
        this.executor = executor;
    }

    synchronized Tokens tokens() {
        return tokens;
    }

    /** Goes on with other tokens; a renewal of the old ones that is under way changes nothing any more. */
    synchronized void replace(Tokens tokens) {
        this.tokens = tokens;
        this.renewal = null;
    }

    boolean renewable() {
        return !tokens().refresh().isEmpty();
    }

    /** The token to send; empty for an anonymous caller. {@code rejected} is one that the server has refused, or empty. */
    String token(String rejected, Deadline deadline) {
        Tokens now;
        CompletableFuture<Tokens> running;
        synchronized (this) {
            now = tokens;
            boolean resting = now.lives(rejected, Duration.ZERO) && !rests.isExpired();
            if (now.refresh().isEmpty() || now.lives(rejected, REFRESH_BEFORE) || resting) {
                return now.access();
            }
            running = renewal == null ? begin(now) : renewal;
        }
        try {
            return result(running, deadline).access();
        } catch (AntiphonException failure) {
            if (now.lives(rejected, Duration.ZERO) && TRANSIENT.contains(failure.code())) {
                return now.access();
            }
            throw failure;
        }
    }

    /** In a thread of its own: others wait for it, too, so it does not end with the call that was the first to need it. */
    private CompletableFuture<Tokens> begin(Tokens old) {
        CompletableFuture<Tokens> begun = new CompletableFuture<>();
        executor.execute(() -> {
            try {
                Tokens renewed = refresh.apply(old);
                settle(begun, renewed, Duration.ZERO);
                begun.complete(renewed);
            } catch (RuntimeException | Error e) {
                settle(begun, old, e instanceof AntiphonException failure ? failure.retryAfter().orElse(REST) : REST);
                begun.completeExceptionally(e);
            }
        });
        renewal = begun;
        return begun;
    }

    private synchronized void settle(CompletableFuture<Tokens> ended, Tokens tokens, Duration rest) {
        if (renewal == ended) {
            this.tokens = tokens;
            this.rests = Deadline.after(rest.toMillis(), TimeUnit.MILLISECONDS);
            this.renewal = null;
        }
    }

    private static Tokens result(CompletableFuture<Tokens> running, Deadline deadline) {
        long nanos = deadline == null ? Long.MAX_VALUE : deadline.timeRemaining(TimeUnit.NANOSECONDS);
        if (!Waiting.until(running, nanos)) {
            throw new AntiphonException(Code.DEADLINE_EXCEEDED, "the token was not renewed in time", Details.NONE);
        }
        try {
            return running.join();
        } catch (CompletionException e) {
            if (e.getCause() instanceof AntiphonException failure) {
                throw failure.again();
            }
            throw new IllegalStateException(e.getCause().getMessage(), e.getCause());
        }
    }
}
