package dev.antiphon.client;

import com.google.protobuf.Timestamp;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.time.Instant;
import java.util.Base64;
import java.util.OptionalLong;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * A pair of tokens. Without a refresh token the access token, which may be an API key, is used as long as the server takes it.
 *
 * @param expires by this machine's clock; null when not known
 */
record Tokens(String access, Instant expires, String refresh) {
    static final Tokens NONE = new Tokens("", null, "");
    private static final Pattern TIME = Pattern.compile("\"(exp|iat)\"\\s*:\\s*([0-9]{1,15})");

    /** The tokens that a login or a renewal gave. */
    static Tokens of(String access, String refresh, Timestamp told) {
        // Counted from now by the token's own lifetime, the end is right even where this machine's clock is wrong.
        OptionalLong lifetime = lifetime(access);
        Instant expires = lifetime.isPresent()
                ? Instant.now().plusSeconds(lifetime.getAsLong())
                : Instant.ofEpochSecond(told.getSeconds());
        return new Tokens(access, expires, refresh);
    }

    boolean isEmpty() {
        return access.isEmpty() && refresh.isEmpty();
    }

    /** Whether the access token can be sent for that long, given that the server has {@code rejected} one (empty: none). */
    boolean lives(String rejected, Duration margin) {
        if (access.isEmpty() || access.equals(rejected)) {
            return false;
        }
        return expires == null || Instant.now().plus(margin).isBefore(expires);
    }

    @Override
    public String toString() {
        return "Tokens[…, expires=" + expires + "]";
    }

    private static OptionalLong lifetime(String jwt) {
        // Only to know how long; whether the token is genuine is the server's business.
        String[] parts = jwt.split("\\.");
        if (parts.length != 3) {
            return OptionalLong.empty();
        }
        long lifetime = 0;
        int found = 0;
        try {
            Matcher time = TIME.matcher(new String(Base64.getUrlDecoder().decode(parts[1]), StandardCharsets.UTF_8));
            while (time.find()) {
                found++;
                lifetime += (time.group(1).equals("exp") ? 1 : -1) * Long.parseLong(time.group(2));
            }
        } catch (IllegalArgumentException e) {
            return OptionalLong.empty();
        }
        return found == 2 ? OptionalLong.of(lifetime) : OptionalLong.empty();
    }
}
