package dev.antiphon.client;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

class AddressTest {
    @ParameterizedTest
    @CsvSource({
        "127.0.0.1:50051, 127.0.0.1, 50051, false",
        "localhost:50051, localhost, 50051, false",
        "[::1]:50051, ::1, 50051, false",
        "chat.example.com:443, chat.example.com, 443, true",
        "http://chat.example.com, chat.example.com, 80, false",
        "https://chat.example.com/, chat.example.com, 443, true",
        "https://127.0.0.1:50051, 127.0.0.1, 50051, true",
    })
    void readsHostPortAndWhetherTlsIsSpoken(String server, String host, int port, boolean secure) {
        Address address = Address.of(server);
        assertEquals(host, address.host());
        assertEquals(port, address.port());
        assertEquals(secure, address.secure());
    }

    @ParameterizedTest
    @ValueSource(strings = {"", "host", "host:", "::1:50051", "ftp://host:1", "host:0", "host:65536", "a b:1", "u@host:1"})
    void refusesWhatIsNoAddress(String server) {
        assertThrows(IllegalArgumentException.class, () -> Address.of(server));
    }
}
