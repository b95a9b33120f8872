package dev.antiphon.client;

import io.grpc.Deadline;
import io.grpc.Status.Code;
import java.time.Duration;
import java.util.EnumSet;
import java.util.Set;
import java.util.concurrent.ThreadLocalRandom;
import java.util.concurrent.TimeUnit;
import java.util.function.Predicate;

/** The tries of one call, or of a stream since its last message. Decides; never waits. */
final class Attempts {
    /** Why a token is refused that a renewal may help with: a role has changed, or a signing key was dropped. */
    static final Set<String> RENEWS = Set.of("TOKEN_EXPIRED", "TOKEN_INVALID", "TOKEN_REVOKED");

    // These end a generation. One whose events have begun to arrive can't be begun anew beneath its reader.
    private static final Set<String> ENDS_A_GENERATION = Set.of(
            "GENERATION_INTERRUPTED",
            "PROVIDER_PROTOCOL",
            "PROVIDER_RATE_LIMITED",
            "PROVIDER_TIMEOUT",
            "PROVIDER_UNAVAILABLE",
            "TOO_LONG");
    private static final Set<Code> ASKS_TO_COME_AGAIN =
            EnumSet.of(Code.RESOURCE_EXHAUSTED, Code.ABORTED, Code.UNAVAILABLE);
    // What a broken connection looks like; the server's own failures carry a reason.
    private static final Set<Code> BROKEN_CALL = EnumSet.of(Code.UNAVAILABLE, Code.CANCELLED);
    private static final Set<Code> BROKEN_STREAM =
            EnumSet.of(Code.UNAVAILABLE, Code.CANCELLED, Code.INTERNAL, Code.UNKNOWN);

    private final Retries retries;
    private final Deadline deadline;
    private final boolean repeatable;
    private final Predicate<String> ends;
    private final boolean stream;
    private int failed;
    private int tries = 1;
    private boolean begun;
    private boolean mayBeDone;

    private Attempts(
            Retries retries, Deadline deadline, boolean repeatable, Predicate<String> ends, boolean stream) {
        this.retries = retries;
        this.deadline = deadline;
        this.repeatable = repeatable;
        this.ends = ends;
        this.stream = stream;
    }

    static Attempts ofCall(Rpc<?, ?> rpc, Retries retries, Deadline deadline) {
        return new Attempts(retries, deadline, rpc.repeatable(), rpc::endsWith, false);
    }

    static Attempts ofStream(Rpc<?, ?> rpc, Retries retries, Deadline deadline) {
        return new Attempts(retries, deadline, rpc.repeatable(), rpc::endsWith, true);
    }

    /** Tries so far, the running one included. */
    int tries() {
        return tries;
    }

    /** Something new has arrived, so the count of failed tries starts again. */
    void progressed() {
        failed = 0;
        begun = true;
    }

    /** The pause before the next try. Throws {@code failure} when there is none. */
    Duration after(AntiphonException failure) {
        failed++;
        // A stream that has shown nothing yet is a call like any other: who waits wants to know soon that nobody answers.
        int limit = begun ? retries.resumeAttempts() : retries.attempts();
        // What has begun is gone on with, not repeated.
        boolean may = repeatable || begun;
        if (!may || failed >= limit || !mayPass(failure)) {
            throw failure.after(tries);
        }
        double pause = retries.firstDelay().toNanos() * Math.pow(2, failed - 1);
        pause = Math.min(pause, retries.maxDelay().toNanos()) * (1 - ThreadLocalRandom.current().nextDouble() / 2);
        long nanos = Math.max((long) pause, failure.retryAfter().orElse(Duration.ZERO).toNanos());
        if (deadline != null && deadline.timeRemaining(TimeUnit.NANOSECONDS) <= nanos) {
            throw failure.after(tries);
        }
        // A limit is told before anything is done; of every other failure that may pass the server may have done its part.
        mayBeDone |= failure.code() != Code.RESOURCE_EXHAUSTED;
        tries++;
        return Duration.ofNanos(nanos);
    }

    /** Whether a call that removes something has done so: it is gone, and an earlier try, whose answer got lost, may be why. */
    boolean removed(AntiphonException failure) {
        return mayBeDone && failure.code() == Code.NOT_FOUND;
    }

    private boolean mayPass(AntiphonException failure) {
        String reason = failure.reason();
        boolean asks = failure.retryAfter().isPresent();
        if (asks && failure.retryAfter().get().compareTo(retries.maxDelay()) > 0) {
            return false;
        }
        if (reason.isEmpty()) {
            return (stream ? BROKEN_STREAM : BROKEN_CALL).contains(failure.code());
        }
        if (ends.test(reason) || (begun && ENDS_A_GENERATION.contains(reason))) {
            return false;
        }
        return failure.code() == Code.UNAVAILABLE || (asks && ASKS_TO_COME_AGAIN.contains(failure.code()));
    }
}
