package dev.antiphon.client;

import dev.antiphon.client.AntiphonException.Details;
import io.grpc.CallOptions;
import io.grpc.Channel;
import io.grpc.ChannelCredentials;
import io.grpc.ClientInterceptors;
import io.grpc.Context;
import io.grpc.Deadline;
import io.grpc.Grpc;
import io.grpc.InsecureChannelCredentials;
import io.grpc.ManagedChannel;
import io.grpc.ManagedChannelBuilder;
import io.grpc.ManagedChannelRegistry.ProviderNotFoundException;
import io.grpc.Metadata;
import io.grpc.MethodDescriptor;
import io.grpc.Status.Code;
import io.grpc.StatusRuntimeException;
import io.grpc.stub.ClientCalls;
import io.grpc.stub.MetadataUtils;
import java.time.Duration;
import java.util.Iterator;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicReference;

/** One channel, and single tries over it: what travels beside them, and what they fail with. */
final class Transport implements AutoCloseable {
    static final Metadata.Key<String> AUTHORIZATION =
            Metadata.Key.of("authorization", Metadata.ASCII_STRING_MARSHALLER);
    private static final Metadata.Key<String> REQUEST_ID =
            Metadata.Key.of("x-request-id", Metadata.ASCII_STRING_MARSHALLER);
    private static final int LARGEST_ANSWER = 64 * 1024 * 1024;
    // Details of a refused request may name many fields.
    private static final int LARGEST_METADATA = 256 * 1024;

    private final ManagedChannel channel;
    private final String target;
    private final String how;
    private final CompletableFuture<Void> closed = new CompletableFuture<>();

    Transport(Address address, Tls tls) {
        ManagedChannelBuilder<?> builder = builder(address, tls)
                .userAgent("antiphon-java")
                .keepAliveTime(30, TimeUnit.SECONDS)
                .keepAliveTimeout(10, TimeUnit.SECONDS)
                .maxInboundMessageSize(LARGEST_ANSWER)
                .maxInboundMetadataSize(LARGEST_METADATA)
                // There is one retry loop, and it is above this.
                .disableRetry()
                .disableServiceConfigLookUp();
        if (address.loopback()) {
            // A proxy that the environment names can't know what listens on this machine.
            builder.proxyDetector(anything -> null);
        }
        if (tls != null && tls.serverName() != null) {
            builder.overrideAuthority(tls.serverName());
        }
        this.channel = builder.build();
        this.target = address.toString();
        this.how = tls == null ? "in plain text" : "over TLS";
    }

    /** One try, and what it shows beside its answer. */
    final class Try {
        private final AtomicReference<Metadata> headers = new AtomicReference<>();
        private final AtomicReference<Metadata> trailers = new AtomicReference<>();
        private final Channel through;
        private final CallOptions options;

        Try(Rpc<?, ?> rpc, CallSettings settings, String token, Deadline deadline) {
            Metadata beside = new Metadata();
            beside.merge(settings.metadata());
            if (!beside.containsKey(REQUEST_ID)) {
                beside.put(REQUEST_ID, rpc.requestId());
            }
            if (!token.isEmpty() && !beside.containsKey(AUTHORIZATION)) {
                beside.put(AUTHORIZATION, "Bearer " + token);
            }
            through = ClientInterceptors.intercept(
                    channel,
                    MetadataUtils.newAttachHeadersInterceptor(beside),
                    MetadataUtils.newCaptureMetadataInterceptor(headers, trailers));
            options = CallOptions.DEFAULT.withDeadline(deadline);
        }

        <Q, R> R call(MethodDescriptor<Q, R> method, Q request) {
            refuseWhenClosed();
            try {
                return ClientCalls.blockingUnaryCall(through, method, options, request);
            } catch (StatusRuntimeException e) {
                throw failure(e);
            }
        }

        <Q, R> Iterator<R> open(MethodDescriptor<Q, R> method, Q request) {
            refuseWhenClosed();
            return ClientCalls.blockingServerStreamingCall(through, method, options, request);
        }

        AntiphonException failure(StatusRuntimeException e) {
            return isClosed() ? endedByClosing() : Failures.of(e, headers(), target, how);
        }

        Metadata headers() {
            Metadata came = headers.get();
            return came == null ? new Metadata() : came;
        }

        Metadata trailers() {
            Metadata came = trailers.get();
            return came == null ? new Metadata() : came;
        }
    }

    /** The answer of as many tries as the policy of the call allows. */
    <Q, R> Reply<R> call(Rpc<Q, R> rpc, CallSettings settings, Retries retries, Deadline deadline, LoginSession login) {
        Attempts attempts = Attempts.ofCall(rpc, retries, deadline);
        String rejected = "";
        while (true) {
            String token = "";
            try {
                token = rpc.sendsCredential() ? login.token(rejected, deadline) : "";
                Try one = new Try(rpc, settings, token, deadline);
                R response = one.call(rpc.method(), rpc.request());
                return new Reply<>(response, one.headers(), one.trailers(), attempts.tries());
            } catch (AntiphonException failure) {
                if (rpc.removes() && attempts.removed(failure)) {
                    return new Reply<>(nothing(rpc), failure.headers(), failure.trailers(), attempts.tries());
                }
                if (renewalMayHelp(failure, token, rejected, login)) {
                    rejected = token;
                } else {
                    pause(attempts.after(unlessCancelled(failure, attempts)), attempts);
                }
            }
        }
    }

    /** Whether a token was refused that can be renewed, for the first time. */
    static boolean renewalMayHelp(AntiphonException failure, String token, String rejected, LoginSession login) {
        return Attempts.RENEWS.contains(failure.reason())
                && !token.isEmpty()
                && rejected.isEmpty()
                && login.renewable();
    }

    /** The failure, which is thrown when it is but the caller's own cancellation. */
    static AntiphonException unlessCancelled(AntiphonException failure, Attempts attempts) {
        if (Context.current().isCancelled() || Thread.currentThread().isInterrupted()) {
            throw failure.after(attempts.tries());
        }
        return failure;
    }

    /** Waits, until the caller cancels or the client is closed at most. */
    void pause(Duration pause, Attempts attempts) {
        try {
            Waiting.until(closed, pause.toNanos());
        } catch (AntiphonException cancelled) {
            throw cancelled.after(attempts.tries());
        }
        if (isClosed()) {
            throw endedByClosing().after(attempts.tries());
        }
        // gRPC would wait longer before it tries to connect again, and fail the calls in between.
        channel.resetConnectBackoff();
    }

    boolean isClosed() {
        return closed.isDone();
    }

    /** Ends the calls that are under way, and the connection. */
    @Override
    public void close() {
        closed.complete(null);
        channel.shutdownNow();
    }

    private static AntiphonException endedByClosing() {
        return new AntiphonException(Code.CANCELLED, "the client was closed", Details.NONE);
    }

    private void refuseWhenClosed() {
        if (isClosed()) {
            throw new IllegalStateException("the client is closed");
        }
    }

    private static ManagedChannelBuilder<?> builder(Address address, Tls tls) {
        ChannelCredentials credentials = tls == null ? InsecureChannelCredentials.create() : tls.credentials();
        try {
            return Grpc.newChannelBuilderForAddress(address.host(), address.port(), credentials);
        } catch (IllegalArgumentException | ProviderNotFoundException e) {
            throw new IllegalArgumentException("a certificate or key can't be used: " + e.getMessage(), e);
        }
    }

    private static <R> R nothing(Rpc<?, R> rpc) {
        MethodDescriptor.Marshaller<R> marshaller = rpc.method().getResponseMarshaller();
        return ((MethodDescriptor.PrototypeMarshaller<R>) marshaller).getMessagePrototype();
    }
}
