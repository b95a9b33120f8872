package dev.antiphon.client;

import java.time.Duration;

/**
 * How often a call that may safely be repeated is tried, and how long the pauses are.
 *
 * <p>A pause begins with {@code firstDelay}, doubles up to {@code maxDelay}, and loses up to half of itself by chance. A server that
 * asks for a longer pause than {@code maxDelay} is not waited for.
 *
 * @param attempts tries of a call, and of a stream until its first message
 * @param resumeAttempts tries of a stream since its last message; the default lasts longer than a server takes to be started again
 */
public record Retries(int attempts, int resumeAttempts, Duration firstDelay, Duration maxDelay) {
    /** Five tries, and about a minute of them for a stream that has begun. */
    public static final Retries DEFAULT = new Retries(5, 24, Duration.ofMillis(100), Duration.ofSeconds(5));

    /** Every call is tried once, and a stream that breaks has failed. */
    public static final Retries NONE = new Retries(1, 1, Duration.ofMillis(100), Duration.ofSeconds(5));

    /** Checks that the numbers make sense. */
    public Retries {
        if (attempts < 1
                || resumeAttempts < 1
                || firstDelay.isNegative()
                || maxDelay.compareTo(firstDelay) < 0) {
            throw new IllegalArgumentException("retries need at least one attempt, and delays that grow from 0 or more");
        }
    }

    /** The same with another number of tries; one means none but the first, for streams, too. */
    public Retries withAttempts(int attempts) {
        return new Retries(attempts, attempts == 1 ? 1 : resumeAttempts, firstDelay, maxDelay);
    }
}
