package dev.antiphon.client;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import dev.antiphon.client.AntiphonException.Details;
import io.grpc.Status.Code;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.Test;

class LoginSessionTest {
    private final AtomicInteger renewals = new AtomicInteger();

    @Test
    void manyCallersShareOneRenewal() throws Exception {
        LoginSession login = new LoginSession(new Tokens("old", Instant.now(), "r0"), this::renewed);
        ExecutorService threads = Executors.newFixedThreadPool(8);
        List<Future<String>> tokens = new ArrayList<>();
        for (int i = 0; i < 50; i++) {
            tokens.add(threads.submit(() -> login.token("", null)));
        }
        for (Future<String> token : tokens) {
            assertEquals("new1", token.get());
        }
        threads.shutdown();
        assertEquals(1, renewals.get());
    }

    @Test
    void aRejectedTokenIsRenewedThoughItLives() {
        LoginSession login = new LoginSession(new Tokens("old", Instant.MAX.minusSeconds(9999), "r0"), this::renewed);
        assertEquals("old", login.token("", null));
        assertEquals("new1", login.token("old", null));
    }

    @Test
    void aTokenThatStillLivesIsUsedOnWhenItCantBeRenewedNow() {
        LoginSession login = new LoginSession(new Tokens("old", Instant.now().plusSeconds(20), "r0"), old -> {
            renewals.incrementAndGet();
            throw new AntiphonException(Code.UNAVAILABLE, "", Details.NONE);
        });
        assertEquals("old", login.token("", null));
        assertEquals("old", login.token("", null));
        assertEquals(1, renewals.get());
        assertThrows(AntiphonException.class, () -> login.token("old", null));
    }

    @Test
    void anApiKeyIsSentAsItIs() {
        LoginSession login = new LoginSession(new Tokens("ak_1", null, ""), this::renewed);
        assertEquals("ak_1", login.token("ak_1", null));
    }

    private Tokens renewed(Tokens old) {
        return new Tokens("new" + renewals.incrementAndGet(), Instant.now().plusSeconds(900), "r1");
    }
}
