package dev.antiphon.client;

import com.google.protobuf.ByteString;
import com.google.protobuf.Message;
import dev.antiphon.auth.v1.AuthServiceGrpc;
import dev.antiphon.auth.v1.LoginRequest;
import dev.antiphon.auth.v1.LoginResponse;
import dev.antiphon.auth.v1.LogoutRequest;
import dev.antiphon.auth.v1.RefreshTokenRequest;
import dev.antiphon.auth.v1.RefreshTokenResponse;
import dev.antiphon.auth.v1.User;
import dev.antiphon.chat.v1.ChatRequest;
import dev.antiphon.chat.v1.ChatResponse;
import dev.antiphon.chat.v1.ChatServiceGrpc;
import dev.antiphon.chat.v1.StreamChatRequest;
import dev.antiphon.image.v1.DownloadImageRequest;
import dev.antiphon.image.v1.ImageServiceGrpc;
import dev.antiphon.speech.v1.DownloadAudioRequest;
import dev.antiphon.speech.v1.SpeechServiceGrpc;
import io.grpc.Context;
import io.grpc.Deadline;
import io.grpc.MethodDescriptor;
import java.io.IOException;
import java.io.OutputStream;
import java.time.Duration;
import java.util.Iterator;
import java.util.List;
import java.util.Spliterator;
import java.util.Spliterators;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.RejectedExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.function.Function;
import java.util.stream.Stream;
import java.util.stream.StreamSupport;

/**
 * A client of one address. Used by as many threads as like; close it when done.
 *
 * <p>Every RPC is called by its method: {@code client.call(ChatServiceGrpc.getListModelsMethod(), request)}. A call that the contract
 * calls idempotent is repeated when its failure may pass, within its time; a request that has a {@code request_id} gets one, the same
 * for all tries. Calls end when the {@link Context} that they are made in is cancelled, or their thread is interrupted. They throw
 * {@link AntiphonException}, those under way when the client is closed with CANCELLED, and {@link IllegalStateException} once it is.
 */
public final class AntiphonClient implements AutoCloseable {
    private static final Duration RENEWAL = Duration.ofSeconds(30);
    private static final Duration A_CENTURY = Duration.ofDays(36_500);

    private final Transport transport;
    private final Retries retries;
    private final Duration timeout;
    private final Duration answerTimeout;
    private final LoginSession login;
    private final ExecutorService executor = Executors.newCachedThreadPool(work -> {
        Thread thread = new Thread(work, "antiphon-call");
        thread.setDaemon(true);
        return thread;
    });

    AntiphonClient(AntiphonClientBuilder from) {
        this.transport = new Transport(from.address, from.protection());
        this.retries = from.retries;
        this.timeout = from.timeout;
        this.answerTimeout = from.answerTimeout;
        this.login = new LoginSession(new Tokens(from.token, null, from.refreshToken), this::renewed, this::inBackground);
    }

    /**
     * A client of {@code host:port}, {@code http://host:port} or {@code https://host:port}. Without a scheme, loopback is spoken to in
     * plain text and everything else over TLS.
     */
    public static AntiphonClient connect(String server) {
        return builder(server).build();
    }

    /** What a client can be told at its making. */
    public static AntiphonClientBuilder builder(String server) {
        return new AntiphonClientBuilder(server);
    }

    /** Logs in; from now on the client calls as this person and renews its access token by itself. Never repeated. */
    public User login(String email, String password) {
        LoginRequest request =
                LoginRequest.newBuilder().setEmail(email).setPassword(password).build();
        LoginResponse response = call(AuthServiceGrpc.getLoginMethod(), request);
        login.replace(Tokens.of(
                response.getAccessToken(), response.getRefreshToken(), response.getAccessTokenExpireTime()));
        return response.getUser();
    }

    /** Ends the login session, if there is one, and forgets the tokens: the client is anonymous from then on. */
    public void logout() {
        String refresh = login.tokens().refresh();
        if (!refresh.isEmpty()) {
            call(AuthServiceGrpc.getLogoutMethod(), LogoutRequest.newBuilder().setRefreshToken(refresh).build());
        }
        login.replace(Tokens.NONE);
    }

    /** The access token or API key that calls carry, renewed when it is about to end; empty for an anonymous client. */
    public String accessToken() {
        return login.token("", deadline(CallSettings.DEFAULT, timeout));
    }

    /** Calls a method that gives one answer. */
    public <Q, R> R call(MethodDescriptor<Q, R> method, Q request) {
        return exchange(method, request, CallSettings.DEFAULT).response();
    }

    /** Calls a method that gives one answer, and tells what came beside it. */
    public <Q, R> Reply<R> exchange(MethodDescriptor<Q, R> method, Q request, CallSettings settings) {
        if (method.getType() != MethodDescriptor.MethodType.UNARY) {
            throw new IllegalArgumentException(method.getFullMethodName() + " streams: open it");
        }
        Rpc<Q, R> rpc = Rpc.of(method, request, settings);
        Duration limit = rpc.waitsForModel() ? answerTimeout : timeout;
        return transport.call(rpc, settings, retries, deadline(settings, limit), login);
    }

    /** Calls in another thread. Cancelling the future cancels the call; a failure is an {@link AntiphonException}. */
    public <Q, R> CompletableFuture<R> callAsync(MethodDescriptor<Q, R> method, Q request) {
        CompletableFuture<R> answer = new CompletableFuture<>();
        Context.CancellableContext context = Context.current().withCancellation();
        answer.whenComplete((response, failure) -> context.cancel(null));
        inBackground(context.wrap(() -> {
            try {
                answer.complete(call(method, request));
            } catch (RuntimeException | Error e) {
                answer.completeExceptionally(e);
            }
        }));
        return answer;
    }

    /** Opens a method that streams. It is asked for again until its first message has come; what breaks later has failed. */
    public <Q, R> ServerStream<R> open(MethodDescriptor<Q, R> method, Q request, CallSettings settings) {
        Rpc<Q, R> rpc = Rpc.of(method, request, settings);
        return new ServerStream<>(transport, login, new OnceReader<>(rpc), settings, retries, deadline(settings, null));
    }

    /** Opens a method that streams, without a limit of time. */
    public <Q, R> ServerStream<R> open(MethodDescriptor<Q, R> method, Q request) {
        return open(method, request, CallSettings.DEFAULT);
    }

    /** Asks the default model, and waits for its whole answer. */
    public ChatResponse chat(String message) {
        return call(ChatServiceGrpc.getChatMethod(), ChatRequest.newBuilder().setMessage(message).build());
    }

    /** Asks the default model; the answer comes as it is made. */
    public AnswerStream stream(String message) {
        return stream(StreamChatRequest.newBuilder().setMessage(message).build());
    }

    /** Asks a model; the answer comes as it is made, without a limit of time. */
    public AnswerStream stream(StreamChatRequest request) {
        return stream(request, CallSettings.DEFAULT);
    }

    /** Asks a model; the answer comes as it is made. */
    public AnswerStream stream(StreamChatRequest request, CallSettings settings) {
        return answer(new RecordReader(Rpc.of(ChatServiceGrpc.getStreamChatMethod(), request, settings)), settings);
    }

    /**
     * Goes on with a generation's record after the position {@code afterSeq}; 0 for all of it. {@code resumeToken} is empty unless the
     * generation is an anonymous caller's.
     */
    public AnswerStream resume(String generationId, long afterSeq, String resumeToken) {
        return resume(generationId, afterSeq, resumeToken, CallSettings.DEFAULT);
    }

    /** Goes on with a generation's record. */
    public AnswerStream resume(String generationId, long afterSeq, String resumeToken, CallSettings settings) {
        return answer(new RecordReader(generationId, afterSeq, resumeToken), settings);
    }

    /** The pages of a list, each asked for when it is needed. The method has {@code page_token} and {@code next_page_token}. */
    public <Q extends Message, R extends Message> Stream<R> pages(MethodDescriptor<Q, R> method, Q request) {
        Iterator<R> pages = new Pages<>(request, each -> call(method, each));
        return StreamSupport.stream(
                Spliterators.spliteratorUnknownSize(pages, Spliterator.ORDERED | Spliterator.NONNULL), false);
    }

    /** The items of a list, over as many pages as they take. */
    public <Q extends Message, R extends Message, T> Stream<T> list(
            MethodDescriptor<Q, R> method, Q request, Function<R, List<T>> items) {
        return pages(method, request).flatMap(page -> items.apply(page).stream());
    }

    /** Writes an image to {@code sink}, over as many connections as it takes, and checks that it is whole. */
    public Download download(DownloadImageRequest request, OutputStream sink) throws IOException {
        return download(request, sink, CallSettings.DEFAULT);
    }

    /** Writes an image to {@code sink}; the settings' timeout is for all of it. */
    public Download download(DownloadImageRequest request, OutputStream sink, CallSettings settings)
            throws IOException {
        return download(ImageServiceGrpc.getDownloadImageMethod(), request, sink, settings);
    }

    /** Writes a conversion's audio to {@code sink}, over as many connections as it takes, and checks that it is whole. */
    public Download download(DownloadAudioRequest request, OutputStream sink) throws IOException {
        return download(request, sink, CallSettings.DEFAULT);
    }

    /** Writes a conversion's audio to {@code sink}; the settings' timeout is for all of it. */
    public Download download(DownloadAudioRequest request, OutputStream sink, CallSettings settings)
            throws IOException {
        return download(SpeechServiceGrpc.getDownloadAudioMethod(), request, sink, settings);
    }

    /** Ends the calls that are under way, and the connection. */
    @Override
    public void close() {
        transport.close();
        executor.shutdown();
    }

    private AnswerStream answer(RecordReader reader, CallSettings settings) {
        return new AnswerStream(transport, login, reader, settings, retries, deadline(settings, null));
    }

    private <Q> Download download(
            MethodDescriptor<Q, ? extends Message> method, Q request, OutputStream sink, CallSettings settings)
            throws IOException {
        FileReader reader = new FileReader(Rpc.of(method, request, settings));
        try (ServerStream<ByteString> chunks =
                new ServerStream<>(transport, login, reader, settings, retries, deadline(settings, null))) {
            while (chunks.hasNext()) {
                chunks.next().writeTo(sink);
            }
            return reader.whole(chunks.tries());
        }
    }

    private Tokens renewed(Tokens old) {
        RefreshTokenRequest request =
                RefreshTokenRequest.newBuilder().setRefreshToken(old.refresh()).build();
        CallSettings settings = CallSettings.DEFAULT.timeout(RENEWAL);
        Rpc<RefreshTokenRequest, RefreshTokenResponse> rpc =
                Rpc.of(AuthServiceGrpc.getRefreshTokenMethod(), request, settings);
        RefreshTokenResponse response = transport
                .call(rpc, settings, Retries.NONE, deadline(settings, null), login)
                .response();
        return Tokens.of(response.getAccessToken(), response.getRefreshToken(), response.getAccessTokenExpireTime());
    }

    private static Deadline deadline(CallSettings settings, Duration otherwise) {
        Duration limit = settings.timeout() == null ? otherwise : settings.timeout();
        boolean limited = limit != null && limit.compareTo(A_CENTURY) < 0;
        return limited ? Deadline.after(limit.toNanos(), TimeUnit.NANOSECONDS) : null;
    }

    private void inBackground(Runnable work) {
        try {
            executor.execute(work);
        } catch (RejectedExecutionException e) {
            throw new IllegalStateException("the client is closed", e);
        }
    }
}
