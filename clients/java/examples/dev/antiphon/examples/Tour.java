package dev.antiphon.examples;

import dev.antiphon.auth.v1.AuthServiceGrpc;
import dev.antiphon.auth.v1.GetProfileRequest;
import dev.antiphon.chat.v1.ChatServiceGrpc;
import dev.antiphon.chat.v1.CreateSessionRequest;
import dev.antiphon.chat.v1.ListModelsRequest;
import dev.antiphon.chat.v1.ListModelsResponse;
import dev.antiphon.chat.v1.ListSessionsRequest;
import dev.antiphon.chat.v1.ListSessionsResponse;
import dev.antiphon.chat.v1.Session;
import dev.antiphon.chat.v1.StreamChatRequest;
import dev.antiphon.client.AnswerStream;
import dev.antiphon.client.AntiphonClient;
import dev.antiphon.client.AntiphonException;
import dev.antiphon.client.CallSettings;
import dev.antiphon.client.Download;
import dev.antiphon.client.Reply;
import dev.antiphon.client.Tls;
import dev.antiphon.image.v1.DownloadImageRequest;
import dev.antiphon.image.v1.GenerateImageRequest;
import dev.antiphon.image.v1.GenerateImageResponse;
import dev.antiphon.image.v1.ImageServiceGrpc;
import java.io.IOException;
import java.io.OutputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.concurrent.CompletableFuture;

/** What the client can do, in the order of docs/clients/java.md. */
public final class Tour {
    private Tour() {}

    /** Takes an address, an e-mail and a password. */
    public static void main(String[] arguments) throws IOException {
        if (arguments.length < 3) {
            System.err.println("usage: Tour SERVER EMAIL PASSWORD [PICTURE]");
            System.exit(2);
        }
        try (AntiphonClient client = AntiphonClient.connect(arguments[0])) {
            client.login(arguments[1], arguments[2]);
            calls(client);
            System.out.println(streams(client));
            failures(client);
            image(client, Path.of(arguments.length > 3 ? arguments[3] : "cat.png"));
            client.logout();
        }
    }

    static AntiphonClient overTls() {
        // docs: tls
        Tls tls = Tls.system()
                .trusting(Path.of("ca.pem"))
                .presenting(Path.of("client.pem"), Path.of("client.key"))
                .expecting("chat.internal");
        return AntiphonClient.builder("https://10.0.0.7:50051").tls(tls).token("ak_…").build();
        // docs: end
    }

    static void calls(AntiphonClient client) {
        // docs: calls
        var profile = client.call(AuthServiceGrpc.getGetProfileMethod(), GetProfileRequest.getDefaultInstance());
        System.out.println(profile.getUser().getEmail());

        var request = CreateSessionRequest.newBuilder().setTitle("Sky").setModel("echo").build();
        Session session = client.call(ChatServiceGrpc.getCreateSessionMethod(), request).getSession();
        System.out.println(session.getSessionId());

        client.list(
                        ChatServiceGrpc.getListSessionsMethod(),
                        ListSessionsRequest.newBuilder().setPageSize(50).build(),
                        ListSessionsResponse::getSessionsList)
                .limit(200)
                .forEach(each -> System.out.println(each.getTitle()));
        // docs: end

        // docs: beside
        var settings = CallSettings.DEFAULT.timeout(Duration.ofSeconds(2)).metadata("x-request-id", "job-17");
        Reply<ListModelsResponse> reply = client.exchange(
                ChatServiceGrpc.getListModelsMethod(), ListModelsRequest.getDefaultInstance(), settings);
        System.out.println(reply.trailers() + " after " + reply.tries());

        CompletableFuture<ListModelsResponse> later =
                client.callAsync(ChatServiceGrpc.getListModelsMethod(), ListModelsRequest.getDefaultInstance());
        later.thenAccept(models -> System.out.println(models.getDefaultModel())).join();
        // docs: end
    }

    static String streams(AntiphonClient client) {
        // docs: stream
        var request = StreamChatRequest.newBuilder().setModel("echo").setMessage("Why is the sky blue?").build();
        String generationId;
        long seq;
        try (AnswerStream answer = client.stream(request)
                .whenReconnecting(lost -> System.err.println("resuming after " + lost.pause()))) {
            for (int events = 0; events < 5 && answer.hasNext(); events++) {
                System.out.print(answer.next().getTextDelta().getText());
            }
            generationId = answer.generationId();
            seq = answer.seq();
        }
        // docs: end

        // docs: resume
        try (AnswerStream rest = client.resume(generationId, seq, "")) {
            return rest.text();
        }
        // docs: end
    }

    static void failures(AntiphonClient client) {
        // docs: failures
        try {
            client.stream(StreamChatRequest.newBuilder().setModel("nobody").setMessage("Hi").build()).text();
        } catch (AntiphonException e) {
            switch (e.reason()) {
                case "MODEL_NOT_FOUND" -> System.out.println(e.metadata().get("model") + " is not there");
                case "RATE_LIMITED" -> System.out.println(e.quotas() + ", again in " + e.retryAfter().orElseThrow());
                default -> System.out.println(e.code() + " " + e.violations() + " " + e.requestId());
            }
        }
        // docs: end
    }

    static void image(AntiphonClient client, Path file) throws IOException {
        // docs: image
        var request = GenerateImageRequest.newBuilder().setPrompt("a cat").build();
        GenerateImageResponse made = client.call(ImageServiceGrpc.getGenerateImageMethod(), request);
        var wanted = DownloadImageRequest.newBuilder().setImageId(made.getImages(0).getImageId()).build();
        try (OutputStream out = Files.newOutputStream(file)) {
            Download whole = client.download(wanted, out);
            System.out.println(whole.contentType() + " " + whole.bytes());
        }
        // docs: end
    }
}
