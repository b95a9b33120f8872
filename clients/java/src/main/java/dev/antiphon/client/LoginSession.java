package dev.antiphon.client;

import dev.antiphon.client.AntiphonException.Details;
import io.grpc.Context;
import io.grpc.Deadline;
import io.grpc.Status.Code;
import java.time.Duration;
import java.util.EnumSet;
import java.util.Set;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.ReentrantLock;
import java.util.function.UnaryOperator;

/** Who calls: gives the access token, and renews it by one caller at a time, however many threads wait. */
final class LoginSession {
    private static final Duration REFRESH_BEFORE = Duration.ofSeconds(30);
    private static final long LOOK_MILLIS = 20;

    // Failures that say nothing against a token: one that still lives is used on.
    private static final Set<Code> TRANSIENT = EnumSet.of(
            Code.UNAVAILABLE, Code.RESOURCE_EXHAUSTED, Code.DEADLINE_EXCEEDED, Code.INTERNAL, Code.UNKNOWN);

    private final UnaryOperator<Tokens> refresh;
    private final ReentrantLock renewing = new ReentrantLock();
    private volatile Tokens tokens;
    private volatile Deadline notBefore = Deadline.after(0, TimeUnit.SECONDS);

    LoginSession(Tokens tokens, UnaryOperator<Tokens> refresh) {
        this.tokens = tokens;
        this.refresh = refresh;
    }

    Tokens tokens() {
        return tokens;
    }

    void replace(Tokens tokens) {
        this.tokens = tokens;
    }

    boolean renewable() {
        return !tokens.refresh().isEmpty();
    }

    /** The token to send; empty for an anonymous caller. {@code rejected} is one that the server has refused, or empty. */
    String token(String rejected, Deadline deadline) {
        Tokens now = tokens;
        if (now.refresh().isEmpty() || now.lives(rejected, REFRESH_BEFORE)) {
            return now.access();
        }
        enter(deadline);
        try {
            now = tokens;
            // Whoever had the lock before may have done it.
            boolean fresh = now.refresh().isEmpty() || now.lives(rejected, REFRESH_BEFORE);
            return fresh ? now.access() : renew(now, rejected).access();
        } finally {
            renewing.unlock();
        }
    }

    private Tokens renew(Tokens old, String rejected) {
        boolean lives = old.lives(rejected, Duration.ZERO);
        if (lives && !notBefore.isExpired()) {
            return old;
        }
        // Others wait for this renewal, too: neither the end of this call's time nor its cancellation ends it.
        Context caller = Context.ROOT.attach();
        try {
            Tokens renewed = refresh.apply(old);
            tokens = renewed;
            return renewed;
        } catch (AntiphonException failure) {
            if (lives && TRANSIENT.contains(failure.code())) {
                notBefore = Deadline.after(1, TimeUnit.SECONDS);
                return old;
            }
            throw failure;
        } finally {
            Context.ROOT.detach(caller);
        }
    }

    private void enter(Deadline deadline) {
        try {
            while (!renewing.tryLock(LOOK_MILLIS, TimeUnit.MILLISECONDS)) {
                if (Context.current().isCancelled()) {
                    throw new AntiphonException(Code.CANCELLED, "the caller has cancelled", Details.NONE);
                }
                if (deadline != null && deadline.isExpired()) {
                    throw new AntiphonException(
                            Code.DEADLINE_EXCEEDED, "the token was not renewed in time", Details.NONE);
                }
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new AntiphonException(Code.CANCELLED, "the thread was interrupted", Details.NONE);
        }
    }
}
