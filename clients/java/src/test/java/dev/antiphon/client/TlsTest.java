package dev.antiphon.client;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class TlsTest {
    @ParameterizedTest
    @ValueSource(strings = {
        "",
        "no certificate\n",
        "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n",
        "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n-----END PRIVATE KEY-----\n",
    })
    void namesTheFileThatHasNoAuthority(String content, @TempDir Path folder) throws IOException {
        Path file = Files.writeString(folder.resolve("ca.pem"), content);
        AntiphonClientBuilder builder = AntiphonClient.builder("https://127.0.0.1:1").tls(Tls.system().trusting(file));
        IllegalArgumentException refused = assertThrows(IllegalArgumentException.class, builder::build);
        assertEquals(file + " has no certificates of authorities (PEM)", refused.getMessage());
    }
}
