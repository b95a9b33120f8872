package dev.antiphon.conformance;

import com.google.gson.JsonObject;
import dev.antiphon.auth.v1.AuthServiceGrpc;
import dev.antiphon.auth.v1.GetProfileRequest;
import dev.antiphon.chat.v1.StreamChatRequest;
import dev.antiphon.client.AnswerStream;
import dev.antiphon.client.AntiphonClient;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.atomic.LongAdder;
import java.util.function.BooleanSupplier;
import java.util.function.LongSupplier;

/** Counts what comes in some seconds, by as many callers as are asked for. */
final class Bench {
    private static final String TEXT = "word ".repeat(200).strip();

    private Bench() {}

    static JsonObject run(AntiphonClient client, JsonObject request) throws InterruptedException {
        String kind = request.get("kind").getAsString();
        int concurrency = request.get("concurrency").getAsInt();
        long nanos = (long) (request.get("seconds").getAsDouble() * 1e9);
        LongAdder count = new LongAdder();
        long start = System.nanoTime();
        BooleanSupplier over = () -> System.nanoTime() - start >= nanos;
        LongSupplier once =
                switch (kind) {
                    case "unary" -> () -> profile(client);
                    case "stream" -> () -> answer(client, over);
                    default -> throw new IllegalArgumentException("no bench " + kind);
                };
        ExecutorService threads = Executors.newFixedThreadPool(concurrency);
        List<Future<?>> callers = new ArrayList<>();
        for (int i = 0; i < concurrency; i++) {
            callers.add(threads.submit(() -> {
                while (!over.getAsBoolean()) {
                    count.add(once.getAsLong());
                }
            }));
        }
        try {
            for (Future<?> caller : callers) {
                caller.get();
            }
        } catch (ExecutionException e) {
            throw new IllegalStateException(e.getCause());
        } finally {
            threads.shutdownNow();
        }
        JsonObject result = new JsonObject();
        result.addProperty("count", count.sum());
        result.addProperty("seconds", (System.nanoTime() - start) / 1e9);
        return result;
    }

    private static long profile(AntiphonClient client) {
        client.call(AuthServiceGrpc.getGetProfileMethod(), GetProfileRequest.getDefaultInstance());
        return 1;
    }

    private static long answer(AntiphonClient client, BooleanSupplier over) {
        long events = 0;
        StreamChatRequest request =
                StreamChatRequest.newBuilder().setModel("echo").setMessage(TEXT).build();
        try (AnswerStream stream = client.stream(request)) {
            while (!over.getAsBoolean() && stream.hasNext()) {
                stream.next();
                events++;
            }
        }
        return events;
    }
}
