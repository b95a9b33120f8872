package dev.antiphon.client;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import dev.antiphon.client.AntiphonException.Details;
import io.grpc.Deadline;
import io.grpc.Status.Code;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.UnaryOperator;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

class LoginSessionTest {
    private final ExecutorService threads = Executors.newCachedThreadPool();
    private final AtomicInteger renewals = new AtomicInteger();
    private final CountDownLatch asked = new CountDownLatch(1);
    private final CountDownLatch answered = new CountDownLatch(1);

    @AfterEach
    void end() {
        answered.countDown();
        threads.shutdown();
    }

    @Test
    void manyCallersShareOneRenewal() throws Exception {
        LoginSession login = login(new Tokens("old", Instant.now(), "r0"), this::renewed);
        for (Future<String> token : callers(login)) {
            assertEquals("new1", token.get());
        }
        assertEquals(1, renewals.get());
    }

    @Test
    void manyCallersShareOneRefusal() throws Exception {
        LoginSession login = login(new Tokens("", null, "r0"), old -> {
            answeredLater(old);
            throw new AntiphonException(Code.UNAUTHENTICATED, "", Details.because("TOKEN_REVOKED"));
        });
        List<Future<String>> callers = callers(login);
        asked.await();
        answered.countDown();
        for (Future<String> token : callers) {
            Throwable failure = assertThrows(ExecutionException.class, token::get).getCause();
            assertEquals("TOKEN_REVOKED", ((AntiphonException) failure).reason());
        }
    }

    @Test
    void aRenewalThatTakesLongHoldsNobodyBeyondTheirTime() {
        LoginSession login = login(new Tokens("", null, "r0"), this::answeredLater);
        Deadline soon = Deadline.after(50, TimeUnit.MILLISECONDS);
        AntiphonException late = assertThrows(AntiphonException.class, () -> login.token("", soon));
        assertEquals(Code.DEADLINE_EXCEEDED, late.code());
        answered.countDown();
        assertEquals("new1", login.token("", null));
        assertEquals(1, renewals.get());
    }

    @Test
    void aLogoutIsNotUndoneByARenewalThatWasUnderWay() throws Exception {
        LoginSession login = login(new Tokens("", null, "r0"), this::answeredLater);
        Future<String> caller = threads.submit(() -> login.token("", null));
        asked.await();
        login.replace(Tokens.NONE);
        answered.countDown();
        assertEquals("new1", caller.get());
        assertEquals("", login.token("", null));
    }

    @Test
    void aRejectedTokenIsRenewedThoughItLives() {
        LoginSession login = login(new Tokens("old", Instant.MAX.minusSeconds(9999), "r0"), this::renewed);
        assertEquals("old", login.token("", null));
        assertEquals("new1", login.token("old", null));
    }

    @Test
    void aTokenThatStillLivesIsUsedOnWhenItCantBeRenewedNow() {
        LoginSession login = login(new Tokens("old", Instant.now().plusSeconds(20), "r0"), old -> {
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
        LoginSession login = login(new Tokens("ak_1", null, ""), this::renewed);
        assertEquals("ak_1", login.token("ak_1", null));
    }

    private LoginSession login(Tokens tokens, UnaryOperator<Tokens> refresh) {
        return new LoginSession(tokens, refresh, threads);
    }

    private List<Future<String>> callers(LoginSession login) {
        List<Future<String>> callers = new ArrayList<>();
        for (int i = 0; i < 50; i++) {
            callers.add(threads.submit(() -> login.token("", null)));
        }
        return callers;
    }

    private Tokens renewed(Tokens old) {
        return new Tokens("new" + renewals.incrementAndGet(), Instant.now().plusSeconds(900), "r1");
    }

    private Tokens answeredLater(Tokens old) {
        asked.countDown();
        try {
            answered.await();
        } catch (InterruptedException e) {
            throw new IllegalStateException(e);
        }
        return renewed(old);
    }
}
