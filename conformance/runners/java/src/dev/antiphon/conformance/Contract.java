package dev.antiphon.conformance;

import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import com.google.protobuf.InvalidProtocolBufferException;
import com.google.protobuf.Message;
import com.google.protobuf.MessageOrBuilder;
import com.google.protobuf.util.JsonFormat;
import dev.antiphon.analytics.v1.AnalyticsServiceGrpc;
import dev.antiphon.auth.v1.ApiKeyServiceGrpc;
import dev.antiphon.auth.v1.AuthServiceGrpc;
import dev.antiphon.chat.v1.ChatServiceGrpc;
import dev.antiphon.image.v1.ImageServiceGrpc;
import dev.antiphon.speech.v1.SpeechServiceGrpc;
import io.grpc.MethodDescriptor;
import io.grpc.MethodDescriptor.PrototypeMarshaller;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/** The contract's methods by their names, and its messages as JSON. */
final class Contract {
    private static final JsonFormat.Parser PARSER = JsonFormat.parser();
    private static final JsonFormat.Printer PRINTER = JsonFormat.printer().omittingInsignificantWhitespace();
    private static final Map<String, MethodDescriptor<Message, Message>> METHODS = methods();

    private Contract() {}

    static MethodDescriptor<Message, Message> method(String name) {
        MethodDescriptor<Message, Message> method = METHODS.get(name);
        if (method == null) {
            throw new IllegalArgumentException("the contract has no method " + name);
        }
        return method;
    }

    static Message request(MethodDescriptor<Message, Message> method, JsonElement json)
            throws InvalidProtocolBufferException {
        Message prototype = ((PrototypeMarshaller<Message>) method.getRequestMarshaller()).getMessagePrototype();
        return read(prototype.newBuilderForType(), json);
    }

    static Message read(Message.Builder builder, JsonElement json) throws InvalidProtocolBufferException {
        PARSER.merge(json == null ? "{}" : json.toString(), builder);
        return builder.build();
    }

    static JsonObject json(MessageOrBuilder message) {
        try {
            return JsonParser.parseString(PRINTER.print(message)).getAsJsonObject();
        } catch (InvalidProtocolBufferException e) {
            throw new IllegalStateException(e);
        }
    }

    @SuppressWarnings("unchecked")
    private static Map<String, MethodDescriptor<Message, Message>> methods() {
        Map<String, MethodDescriptor<Message, Message>> methods = new HashMap<>();
        for (var service : List.of(
                AuthServiceGrpc.getServiceDescriptor(),
                ApiKeyServiceGrpc.getServiceDescriptor(),
                ChatServiceGrpc.getServiceDescriptor(),
                ImageServiceGrpc.getServiceDescriptor(),
                SpeechServiceGrpc.getServiceDescriptor(),
                AnalyticsServiceGrpc.getServiceDescriptor())) {
            for (MethodDescriptor<?, ?> method : service.getMethods()) {
                methods.put(method.getFullMethodName(), (MethodDescriptor<Message, Message>) method);
            }
        }
        return methods;
    }
}
