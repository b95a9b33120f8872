package dev.antiphon.client;

import io.grpc.Metadata;

/**
 * An answer with what came beside it.
 *
 * @param response the answer
 * @param headers metadata that came before it, such as {@code x-request-id}
 * @param trailers metadata that came after it, such as {@code ratelimit-remaining}
 * @param tries how many times the call was tried
 */
public record Reply<R>(R response, Metadata headers, Metadata trailers, int tries) {}
