package dev.antiphon.client;

import java.time.Duration;
import java.util.Objects;

/** What a client can be told at its making. */
public final class AntiphonClientBuilder {
    final Address address;
    private Tls tls;
    String token = "";
    String refreshToken = "";
    Retries retries = Retries.DEFAULT;
    Duration timeout = Duration.ofSeconds(30);
    Duration answerTimeout = Duration.ofMinutes(10);

    AntiphonClientBuilder(String server) {
        this.address = Address.of(server);
        this.tls = address.secure() ? Tls.system() : null;
    }

    /** How the connection is protected. */
    public AntiphonClientBuilder tls(Tls tls) {
        this.tls = Objects.requireNonNull(tls, "plain text has a method of its own");
        return this;
    }

    /** Speaks plain text, whatever the address: tokens travel in the open. */
    public AntiphonClientBuilder plaintext() {
        this.tls = null;
        return this;
    }

    /** An access token or an API key, sent as it is. */
    public AntiphonClientBuilder token(String token) {
        if (!token.chars().allMatch(each -> each > ' ' && each < 127)) {
            throw new IllegalArgumentException("a token has no characters but printable ASCII");
        }
        this.token = token;
        return this;
    }

    /** Renews access tokens, beginning with the one that {@link #token} gave, if any. */
    public AntiphonClientBuilder refreshToken(String refreshToken) {
        this.refreshToken = refreshToken;
        return this;
    }

    /** How often calls are tried that may safely be repeated. */
    public AntiphonClientBuilder retries(Retries retries) {
        this.retries = retries;
        return this;
    }

    /** How long a call may take, tries and pauses included; 30 seconds unless told otherwise, null for no limit. */
    public AntiphonClientBuilder timeout(Duration timeout) {
        this.timeout = timeout;
        return this;
    }

    /** The same for calls that wait for a model: Chat, GenerateImage, Synthesize, Reconcile; ten minutes unless told otherwise. */
    public AntiphonClientBuilder answerTimeout(Duration answerTimeout) {
        this.answerTimeout = answerTimeout;
        return this;
    }

    /** The client. It connects with its first call. */
    public AntiphonClient build() {
        return new AntiphonClient(this);
    }

    Tls protection() {
        return tls;
    }
}
