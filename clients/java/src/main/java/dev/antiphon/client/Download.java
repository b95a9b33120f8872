package dev.antiphon.client;

/**
 * A file that has come whole: its length and SHA-256 are what the server told.
 *
 * @param contentType such as {@code image/png}
 * @param bytes its length
 * @param sha256 in lower-case hexadecimal digits
 * @param tries how many times it was asked for
 */
public record Download(String contentType, long bytes, String sha256, int tries) {}
