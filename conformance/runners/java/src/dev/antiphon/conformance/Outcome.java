package dev.antiphon.conformance;

import com.google.gson.JsonArray;
import com.google.gson.JsonObject;
import dev.antiphon.client.AntiphonException;
import io.grpc.Metadata;

/** What was seen of a call, as JSON. */
final class Outcome {
    private Outcome() {}

    static JsonObject ok(Metadata headers, Metadata trailers, int tries) {
        return seen(true, headers, trailers, tries);
    }

    /** Of an op that shows no metadata. */
    static JsonObject ok(int tries) {
        JsonObject outcome = new JsonObject();
        outcome.addProperty("ok", true);
        outcome.addProperty("tries", tries);
        return outcome;
    }

    static JsonObject failed(AntiphonException failure) {
        JsonObject outcome = seen(false, failure.headers(), failure.trailers(), failure.tries());
        outcome.add("error", error(failure));
        return outcome;
    }

    private static JsonObject seen(boolean ok, Metadata headers, Metadata trailers, int tries) {
        JsonObject outcome = new JsonObject();
        outcome.addProperty("ok", ok);
        outcome.add("headers", texts(headers));
        outcome.add("trailers", texts(trailers));
        outcome.addProperty("tries", tries);
        return outcome;
    }

    private static JsonObject error(AntiphonException failure) {
        JsonObject error = new JsonObject();
        error.addProperty("code", failure.code().name());
        error.addProperty("message", failure.getMessage());
        error.addProperty("reason", failure.reason());
        if (!failure.domain().isEmpty()) {
            error.addProperty("domain", failure.domain());
        }
        if (!failure.metadata().isEmpty()) {
            JsonObject metadata = new JsonObject();
            failure.metadata().forEach(metadata::addProperty);
            error.add("metadata", metadata);
        }
        if (!failure.violations().isEmpty()) {
            JsonArray violations = new JsonArray();
            failure.violations().forEach(each -> violations.add(pair("field", each.field(), "description", each.description())));
            error.add("violations", violations);
        }
        failure.retryAfter().ifPresent(pause -> error.addProperty("retry_after_ms", pause.toMillis()));
        if (!failure.quotas().isEmpty()) {
            JsonArray quotas = new JsonArray();
            failure.quotas().forEach(each -> quotas.add(pair("subject", each.subject(), "description", each.description())));
            error.add("quotas", quotas);
        }
        failure.resource().ifPresent(each -> error.add("resource", pair("type", each.type(), "name", each.name())));
        return error;
    }

    private static JsonObject pair(String first, String value, String second, String other) {
        JsonObject pair = new JsonObject();
        pair.addProperty(first, value);
        pair.addProperty(second, other);
        return pair;
    }

    private static JsonObject texts(Metadata metadata) {
        JsonObject texts = new JsonObject();
        for (String key : metadata.keys()) {
            // What gRPC itself sends is left out, as it is where libraries hide it.
            boolean ours = !key.equals("content-type") && !key.startsWith("grpc-");
            if (ours && !key.endsWith(Metadata.BINARY_HEADER_SUFFIX)) {
                // The first value: get() would give the last.
                texts.addProperty(
                        key,
                        metadata.getAll(Metadata.Key.of(key, Metadata.ASCII_STRING_MARSHALLER))
                                .iterator()
                                .next());
            }
        }
        return texts;
    }
}
