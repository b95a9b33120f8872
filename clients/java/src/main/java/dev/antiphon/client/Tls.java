package dev.antiphon.client;

import io.grpc.ChannelCredentials;
import io.grpc.TlsChannelCredentials;
import java.io.ByteArrayInputStream;
import java.io.FileInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Path;
import java.security.cert.CertificateException;
import java.security.cert.CertificateFactory;

/**
 * How a connection is protected. Start with {@link #system()}.
 *
 * @param roots certificates (PEM) of the authorities to trust; null for the system's
 * @param certificate presents the caller for mutual TLS (PEM); null for none
 * @param key of the certificate (PEM, PKCS #8, not encrypted)
 * @param serverName what the server's certificate is checked for when that is not the address's host; null for the host
 */
public record Tls(Path roots, Path certificate, Path key, String serverName) {
    /** Checks that a certificate comes with its key. */
    public Tls {
        if ((certificate == null) != (key == null)) {
            throw new IllegalArgumentException("mutual TLS needs both a certificate and its key");
        }
    }

    /** TLS with the authorities that the system trusts. */
    public static Tls system() {
        return new Tls(null, null, null, null);
    }

    /** The same with authorities of one's own. */
    public Tls trusting(Path roots) {
        return new Tls(roots, certificate, key, serverName);
    }

    /** The same with a certificate that presents the caller. */
    public Tls presenting(Path certificate, Path key) {
        return new Tls(roots, certificate, key, serverName);
    }

    /** The same for a server that is called otherwise than its address. */
    public Tls expecting(String serverName) {
        return new Tls(roots, certificate, key, serverName);
    }

    ChannelCredentials credentials() {
        TlsChannelCredentials.Builder builder = TlsChannelCredentials.newBuilder();
        try {
            if (roots != null) {
                builder.trustManager(certificates(roots));
            }
            if (certificate != null) {
                builder.keyManager(certificate.toFile(), key.toFile());
            }
        } catch (IOException e) {
            throw new IllegalArgumentException("a certificate or key can't be read: " + e.getMessage(), e);
        }
        return builder.build();
    }

    /** The file, which has to hold certificates and nothing else: gRPC's own words for other files are those of its providers. */
    private static InputStream certificates(Path file) throws IOException {
        byte[] pem;
        // Unlike those of java.nio, its exceptions say what is wrong.
        try (InputStream opened = new FileInputStream(file.toFile())) {
            pem = opened.readAllBytes();
        }
        CertificateException unread = null;
        try {
            if (!CertificateFactory.getInstance("X.509")
                    .generateCertificates(new ByteArrayInputStream(pem))
                    .isEmpty()) {
                return new ByteArrayInputStream(pem);
            }
        } catch (CertificateException e) {
            unread = e;
        }
        throw new IllegalArgumentException(file + " has no certificates of authorities (PEM)", unread);
    }
}
