package dev.antiphon.conformance;

import com.google.gson.Gson;
import com.google.gson.GsonBuilder;
import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import io.grpc.Context;
import java.io.BufferedReader;
import java.io.FileDescriptor;
import java.io.FileOutputStream;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.OutputStreamWriter;
import java.io.Writer;
import java.nio.charset.StandardCharsets;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;

/** Speaks the driver's protocol (conformance/README.md) on standard input and output. */
public final class Runner {
    private static final Gson GSON = new GsonBuilder().disableHtmlEscaping().create();

    private final Writer out =
            new OutputStreamWriter(new FileOutputStream(FileDescriptor.out), StandardCharsets.UTF_8);
    private final Map<Long, Context.CancellableContext> running = new ConcurrentHashMap<>();
    private final ExecutorService threads = Executors.newCachedThreadPool();
    private final Operations operations = new Operations();

    private Runner() {}

    /** Ends when its input ends. */
    public static void main(String[] arguments) throws IOException {
        new Runner().run();
        System.exit(0);
    }

    private void run() throws IOException {
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line = in.readLine(); line != null; line = in.readLine()) {
            if (!line.isBlank()) {
                begin(JsonParser.parseString(line).getAsJsonObject());
            }
        }
        running.values().forEach(each -> each.cancel(null));
        operations.close();
    }

    private void begin(JsonObject request) {
        long id = request.get("id").getAsLong();
        String op = request.get("op").getAsString();
        if (op.equals("cancel")) {
            // Here rather than in a thread of its own: it must not overtake the op that it is meant for.
            Context.CancellableContext target = running.get(request.get("target").getAsLong());
            if (target != null) {
                target.cancel(null);
            }
            answer(id, "result", new JsonObject());
            return;
        }
        Context.CancellableContext context = Context.ROOT.withCancellation();
        running.put(id, context);
        threads.execute(context.wrap(() -> {
            try {
                answer(id, "result", operations.run(op, request, event -> answer(id, "event", event)));
            } catch (Exception | LinkageError e) {
                e.printStackTrace();
                JsonObject broken = new JsonObject();
                broken.addProperty("id", id);
                broken.addProperty("broken", e.toString());
                write(broken);
            } finally {
                running.remove(id);
                context.cancel(null);
            }
        }));
    }

    private void answer(long id, String kind, JsonObject value) {
        JsonObject line = new JsonObject();
        line.addProperty("id", id);
        line.add(kind, value);
        write(line);
    }

    private synchronized void write(JsonObject line) {
        try {
            out.write(GSON.toJson(line));
            out.write('\n');
            out.flush();
        } catch (IOException e) {
            throw new IllegalStateException("nobody reads what the runner says", e);
        }
    }
}
