package dev.antiphon.client;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.grpc.Metadata;
import org.junit.jupiter.api.Test;

class CallSettingsTest {
    private static final Metadata.Key<String> KEY = Metadata.Key.of("x-api-key", Metadata.ASCII_STRING_MARSHALLER);

    @Test
    void credentialsAreNotPrinted() {
        String text = CallSettings.DEFAULT.metadata("x-api-key", "ak_1").toString();
        assertTrue(text.contains("x-api-key"), text);
        assertFalse(text.contains("ak_1"), text);
    }

    @Test
    void nobodyChangesWhatOthersUse() {
        CallSettings.DEFAULT.metadata().put(KEY, "ak_1");
        assertFalse(CallSettings.DEFAULT.metadata().containsKey(KEY));
        CallSettings settings = CallSettings.DEFAULT.metadata("x-api-key", "ak_1");
        assertEquals("ak_1", settings.metadata().get(KEY));
    }

    @Test
    void valuesThatCantBeSentAreRefused() {
        assertThrows(IllegalArgumentException.class, () -> CallSettings.DEFAULT.metadata("x-job", "a\nb"));
        assertThrows(IllegalArgumentException.class, () -> CallSettings.DEFAULT.metadata("x-job", "é"));
    }
}
