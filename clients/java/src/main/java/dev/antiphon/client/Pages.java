package dev.antiphon.client;

import com.google.protobuf.Descriptors.FieldDescriptor;
import com.google.protobuf.Message;
import java.util.Iterator;
import java.util.NoSuchElementException;
import java.util.function.Function;

/** The pages of a list, each asked for when it is needed. */
final class Pages<Q extends Message, R extends Message> implements Iterator<R> {
    private final Function<Q, R> call;
    private Q request;

    Pages(Q request, Function<Q, R> call) {
        this.request = request;
        this.call = call;
    }

    @Override
    public boolean hasNext() {
        return request != null;
    }

    @Override
    public R next() {
        if (request == null) {
            throw new NoSuchElementException();
        }
        R page = call.apply(request);
        request = following(page);
        return page;
    }

    private Q following(R page) {
        FieldDescriptor next = page.getDescriptorForType().findFieldByName("next_page_token");
        if (next == null) {
            throw new IllegalArgumentException(page.getDescriptorForType().getFullName() + " is no page of a list");
        }
        String token = (String) page.getField(next);
        if (token.isEmpty()) {
            return null;
        }
        Message.Builder builder = request.toBuilder();
        set(builder, "page_token", token);
        // What is skipped is skipped once: the token stands behind it.
        set(builder, "skip", 0);
        @SuppressWarnings("unchecked")
        Q following = (Q) builder.build();
        return following;
    }

    private static void set(Message.Builder builder, String name, Object value) {
        FieldDescriptor field = builder.getDescriptorForType().findFieldByName(name);
        if (field != null) {
            builder.setField(field, value);
        }
    }
}
