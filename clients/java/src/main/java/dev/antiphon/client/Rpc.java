package dev.antiphon.client;

import com.google.protobuf.Descriptors;
import com.google.protobuf.Message;
import dev.antiphon.options.v1.Access;
import dev.antiphon.options.v1.Policy;
import dev.antiphon.options.v1.PolicyOuterClass;
import io.grpc.MethodDescriptor;
import io.grpc.protobuf.ProtoMethodDescriptorSupplier;
import java.util.List;
import java.util.Set;
import java.util.UUID;

/**
 * One call as a value: which method, which request, what the contract says of it.
 *
 * @param requestId names the call in the server's log, the same in all tries
 */
record Rpc<Q, R>(MethodDescriptor<Q, R> method, Q request, String requestId, Policy policy) {
    private static final Set<String> REMOVES = Set.of(
            "antiphon.chat.v1.ChatService/DeleteSession",
            "antiphon.image.v1.ImageService/DeleteImage",
            "antiphon.speech.v1.SpeechService/DeleteConversion");
    private static final Set<String> WAITS_FOR_A_MODEL = Set.of(
            "antiphon.chat.v1.ChatService/Chat",
            "antiphon.image.v1.ImageService/GenerateImage",
            "antiphon.speech.v1.SpeechService/Synthesize",
            "antiphon.analytics.v1.AnalyticsService/Reconcile");
    // The server has tried as often as helps, and each time may have its price.
    private static final Set<String> PROVIDER_IS_ASKED_ONCE = Set.of(
            "antiphon.image.v1.ImageService/GenerateImage",
            "antiphon.speech.v1.SpeechService/Synthesize",
            "antiphon.speech.v1.SpeechService/StreamSynthesize");
    private static final List<String> PROVIDER_WAS_ASKED =
            List.of("PROVIDER_", "IMAGE_UNUSABLE", "IMAGES_NOT_STORED", "AUDIO_UNUSABLE", "AUDIO_NOT_STORED");

    static <Q, R> Rpc<Q, R> of(MethodDescriptor<Q, R> method, Q request, CallSettings settings) {
        String requestId = "";
        if (request instanceof Message message) {
            Descriptors.FieldDescriptor field = message.getDescriptorForType().findFieldByName("request_id");
            if (field != null) {
                requestId = (String) message.getField(field);
                if (requestId.isEmpty() && settings.makesRequestId()) {
                    requestId = UUID.randomUUID().toString();
                    @SuppressWarnings("unchecked")
                    Q named = (Q) message.toBuilder().setField(field, requestId).build();
                    request = named;
                }
            }
        }
        if (requestId.isEmpty()) {
            requestId = UUID.randomUUID().toString();
        }
        return new Rpc<>(method, request, requestId, policy(method));
    }

    /** The same under the name of another call that it goes on with. */
    Rpc<Q, R> named(String requestId) {
        return new Rpc<>(method, request, requestId, policy);
    }

    /** Whether the contract says that a repeated call does nothing twice, which takes a {@code request_id} where there is such a field. */
    boolean repeatable() {
        return policy.getIdempotent() && isProtected();
    }

    private boolean isProtected() {
        if (request instanceof Message message) {
            Descriptors.FieldDescriptor field = message.getDescriptorForType().findFieldByName("request_id");
            return field == null || !((String) message.getField(field)).isEmpty();
        }
        return true;
    }

    /** Whether the thing's absence, found by a later try, is what an earlier one may have made. */
    boolean removes() {
        return REMOVES.contains(method.getFullMethodName());
    }

    /** Whether the server asks a model, which takes its time. */
    boolean waitsForModel() {
        return WAITS_FOR_A_MODEL.contains(method.getFullMethodName());
    }

    /** Whether no try follows a failure of this reason. */
    boolean endsWith(String reason) {
        return PROVIDER_IS_ASKED_ONCE.contains(method.getFullMethodName())
                && PROVIDER_WAS_ASKED.stream().anyMatch(reason::startsWith);
    }

    /** Whether the server looks at a credential. */
    boolean sendsCredential() {
        return policy.getAccess() != Access.ACCESS_PUBLIC;
    }

    private static Policy policy(MethodDescriptor<?, ?> method) {
        if (method.getSchemaDescriptor() instanceof ProtoMethodDescriptorSupplier supplier) {
            return supplier.getMethodDescriptor().getOptions().getExtension(PolicyOuterClass.policy);
        }
        return Policy.getDefaultInstance();
    }
}
