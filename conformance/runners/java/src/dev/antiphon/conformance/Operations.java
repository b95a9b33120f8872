package dev.antiphon.conformance;

import com.google.gson.JsonArray;
import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import com.google.protobuf.Message;
import dev.antiphon.chat.v1.ChatEvent;
import dev.antiphon.chat.v1.StreamChatRequest;
import dev.antiphon.client.AnswerStream;
import dev.antiphon.client.AntiphonClient;
import dev.antiphon.client.AntiphonClientBuilder;
import dev.antiphon.client.AntiphonException;
import dev.antiphon.client.CallSettings;
import dev.antiphon.client.Download;
import dev.antiphon.client.Reply;
import dev.antiphon.client.Retries;
import dev.antiphon.client.ServerStream;
import dev.antiphon.client.Tls;
import dev.antiphon.image.v1.DownloadImageRequest;
import dev.antiphon.speech.v1.DownloadAudioRequest;
import io.grpc.MethodDescriptor;
import java.io.IOException;
import java.io.OutputStream;
import java.nio.file.Path;
import java.security.DigestOutputStream;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.time.Duration;
import java.util.HexFormat;
import java.util.Iterator;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.AtomicLong;
import java.util.function.Consumer;

/** The protocol's ops, each done through the client. */
final class Operations implements AutoCloseable {
    private static final Duration A_MINUTE = Duration.ofMinutes(1);

    private final Map<String, AntiphonClient> clients = new ConcurrentHashMap<>();

    /** The result of an op; {@code events} is told what streams meanwhile. */
    JsonObject run(String op, JsonObject request, Consumer<JsonObject> events)
            throws IOException, InterruptedException {
        return switch (op) {
            case "hello" -> hello();
            case "ping" -> new JsonObject();
            case "open" -> open(request);
            case "login" -> login(request);
            case "token" -> token(request);
            case "call" -> call(request);
            case "stream" -> stream(request, events);
            case "answer" -> answer(request, events);
            case "resume" -> resume(request, events);
            case "pages" -> pages(request);
            case "download" -> download(request);
            case "bench" -> Bench.run(client(request), request);
            case "close" -> closed(request);
            default -> throw new IllegalArgumentException("no op " + op);
        };
    }

    @Override
    public void close() {
        clients.values().forEach(AntiphonClient::close);
    }

    private static JsonObject hello() {
        JsonObject hello = new JsonObject();
        hello.addProperty("language", "java");
        hello.addProperty("version", System.getProperty("java.version"));
        return hello;
    }

    private JsonObject open(JsonObject request) {
        JsonElement tls = request.get("tls");
        boolean secure = tls != null && !tls.isJsonNull();
        AntiphonClientBuilder builder = AntiphonClient.builder(text(request, "address"));
        builder = secure ? builder.tls(tls(tls.getAsJsonObject())) : builder.plaintext();
        if (request.has("token")) {
            builder.token(text(request, "token"));
        }
        if (request.has("refresh_token")) {
            builder.refreshToken(text(request, "refresh_token"));
        }
        if (request.has("retries")) {
            builder.retries(Retries.DEFAULT.withAttempts(request.get("retries").getAsInt()));
        }
        AntiphonClient before = clients.put(text(request, "client"), builder.build());
        if (before != null) {
            before.close();
        }
        return new JsonObject();
    }

    private static Tls tls(JsonObject told) {
        Tls tls = Tls.system().trusting(Path.of(text(told, "ca")));
        if (told.has("certificate")) {
            tls = tls.presenting(Path.of(text(told, "certificate")), Path.of(text(told, "key")));
        }
        return told.has("server_name") ? tls.expecting(text(told, "server_name")) : tls;
    }

    private JsonObject login(JsonObject request) {
        try {
            JsonElement user = Contract.json(client(request).login(text(request, "email"), text(request, "password")));
            JsonObject outcome = Outcome.ok(1);
            outcome.add("user", user);
            return outcome;
        } catch (AntiphonException failure) {
            return Outcome.failed(failure);
        }
    }

    private JsonObject token(JsonObject request) {
        try {
            String token = client(request).accessToken();
            JsonObject outcome = Outcome.ok(1);
            outcome.addProperty("access_token", token);
            return outcome;
        } catch (AntiphonException failure) {
            return Outcome.failed(failure);
        }
    }

    private JsonObject call(JsonObject request) throws IOException {
        MethodDescriptor<Message, Message> method = Contract.method(text(request, "method"));
        Message message = Contract.request(method, request.get("request"));
        try {
            Reply<Message> reply = client(request).exchange(method, message, settings(request));
            JsonObject outcome = Outcome.ok(reply.headers(), reply.trailers(), reply.tries());
            outcome.add("response", Contract.json(reply.response()));
            return outcome;
        } catch (AntiphonException failure) {
            return Outcome.failed(failure);
        }
    }

    private JsonObject stream(JsonObject request, Consumer<JsonObject> events) throws IOException {
        MethodDescriptor<Message, Message> method = Contract.method(text(request, "method"));
        Message message = Contract.request(method, request.get("request"));
        AtomicLong count = new AtomicLong();
        JsonObject outcome;
        try (ServerStream<Message> stream = client(request).open(method, message, settings(request))) {
            take(stream, request, each -> {
                count.incrementAndGet();
                events.accept(Contract.json(each));
            });
            outcome = Outcome.ok(stream.headers(), stream.trailers(), stream.tries());
        } catch (AntiphonException failure) {
            outcome = Outcome.failed(failure);
        }
        outcome.addProperty("count", count.get());
        return outcome;
    }

    private JsonObject answer(JsonObject request, Consumer<JsonObject> events) throws IOException {
        Message message = Contract.read(StreamChatRequest.newBuilder(), request.get("request"));
        return read(client(request).stream((StreamChatRequest) message, settings(request)), request, events);
    }

    private JsonObject resume(JsonObject request, Consumer<JsonObject> events) {
        String token = request.has("resume_token") ? text(request, "resume_token") : "";
        AnswerStream rest = client(request)
                .resume(
                        text(request, "generation_id"),
                        request.get("after_seq").getAsLong(),
                        token,
                        settings(request));
        return read(rest, request, events);
    }

    private static JsonObject read(AnswerStream stream, JsonObject request, Consumer<JsonObject> events) {
        StringBuilder text = new StringBuilder();
        AtomicLong count = new AtomicLong();
        JsonObject outcome;
        try (stream) {
            take(stream, request, (ChatEvent each) -> {
                count.incrementAndGet();
                text.append(each.getTextDelta().getText());
                events.accept(Contract.json(each));
            });
            outcome = Outcome.ok(stream.headers(), stream.trailers(), stream.tries());
        } catch (AntiphonException failure) {
            outcome = Outcome.failed(failure);
        }
        outcome.addProperty("text", text.toString());
        outcome.addProperty("count", count.get());
        outcome.addProperty("reconnects", stream.reconnects());
        return outcome;
    }

    private JsonObject pages(JsonObject request) throws IOException {
        MethodDescriptor<Message, Message> method = Contract.method(text(request, "method"));
        Message message = Contract.request(method, request.get("request"));
        JsonArray items = new JsonArray();
        int pages = 0;
        JsonObject outcome;
        try {
            Iterator<Message> each = client(request).pages(method, message).iterator();
            while (each.hasNext()) {
                JsonElement found = Contract.json(each.next()).get(camel(text(request, "items")));
                pages++;
                if (found != null) {
                    items.addAll(found.getAsJsonArray());
                }
            }
            // Each was asked for once at least; the client does not tell of further tries here.
            outcome = Outcome.ok(pages);
        } catch (AntiphonException failure) {
            outcome = Outcome.failed(failure);
        }
        outcome.add("items", items);
        outcome.addProperty("pages", pages);
        return outcome;
    }

    private JsonObject download(JsonObject request) throws IOException {
        MethodDescriptor<Message, Message> method = Contract.method(text(request, "method"));
        Message message = Contract.request(method, request.get("request"));
        DigestOutputStream sink = new DigestOutputStream(OutputStream.nullOutputStream(), sha256());
        try {
            Download told = message instanceof DownloadImageRequest image
                    ? client(request).download(image, sink)
                    : client(request).download((DownloadAudioRequest) message, sink);
            JsonObject outcome = Outcome.ok(told.tries());
            outcome.addProperty("bytes", told.bytes());
            outcome.addProperty("sha256", HexFormat.of().formatHex(sink.getMessageDigest().digest()));
            outcome.addProperty("told_sha256", told.sha256());
            outcome.addProperty("content_type", told.contentType());
            return outcome;
        } catch (AntiphonException failure) {
            return Outcome.failed(failure);
        }
    }

    private JsonObject closed(JsonObject request) {
        AntiphonClient client = clients.remove(text(request, "client"));
        if (client != null) {
            client.close();
        }
        return new JsonObject();
    }

    private AntiphonClient client(JsonObject request) {
        AntiphonClient client = clients.get(text(request, "client"));
        if (client == null) {
            throw new IllegalArgumentException("no client " + text(request, "client") + " is open");
        }
        return client;
    }

    private static <T> void take(Iterator<T> stream, JsonObject request, Consumer<T> each) {
        long most = request.has("take") ? request.get("take").getAsLong() : Long.MAX_VALUE;
        for (long taken = 0; taken < most && stream.hasNext(); taken++) {
            each.accept(stream.next());
        }
    }

    private static CallSettings settings(JsonObject request) {
        CallSettings settings = CallSettings.DEFAULT.timeout(
                request.has("deadline_ms") ? Duration.ofMillis(request.get("deadline_ms").getAsLong()) : A_MINUTE);
        if (request.has("metadata")) {
            for (Map.Entry<String, JsonElement> each : request.getAsJsonObject("metadata").entrySet()) {
                settings = settings.metadata(each.getKey(), each.getValue().getAsString());
            }
        }
        // A message can't tell an empty request_id from none, the case can.
        if (request.has("request")) {
            JsonObject message = request.getAsJsonObject("request");
            if (message.has("request_id") || message.has("requestId")) {
                settings = settings.withoutRequestId();
            }
        }
        return settings;
    }

    private static String camel(String name) {
        StringBuilder camel = new StringBuilder();
        for (String word : name.split("_")) {
            camel.append(camel.isEmpty() ? word : Character.toUpperCase(word.charAt(0)) + word.substring(1));
        }
        return camel.toString();
    }

    private static String text(JsonObject request, String name) {
        return request.get(name).getAsString();
    }

    private static MessageDigest sha256() {
        try {
            return MessageDigest.getInstance("SHA-256");
        } catch (NoSuchAlgorithmException e) {
            throw new IllegalStateException("every Java has SHA-256", e);
        }
    }
}
