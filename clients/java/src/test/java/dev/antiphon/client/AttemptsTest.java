package dev.antiphon.client;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.antiphon.auth.v1.AuthServiceGrpc;
import dev.antiphon.auth.v1.ChangePasswordRequest;
import dev.antiphon.auth.v1.LoginRequest;
import dev.antiphon.chat.v1.ChatRequest;
import dev.antiphon.chat.v1.ChatServiceGrpc;
import dev.antiphon.client.AntiphonException.Details;
import dev.antiphon.image.v1.GenerateImageRequest;
import dev.antiphon.image.v1.ImageServiceGrpc;
import io.grpc.Deadline;
import io.grpc.MethodDescriptor;
import io.grpc.Status.Code;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;

class AttemptsTest {
    private static final Rpc<?, ?> CHAT = rpc(ChatServiceGrpc.getChatMethod(), ChatRequest.getDefaultInstance());

    private static final Rpc<?, ?> UNPROTECTED = Rpc.of(
            ChatServiceGrpc.getChatMethod(), ChatRequest.getDefaultInstance(), CallSettings.DEFAULT.withoutRequestId());

    @Test
    void pausesGrowAndEndWithTheTries() {
        Attempts attempts = Attempts.ofCall(CHAT, Retries.DEFAULT, null);
        for (int i = 0; i < 4; i++) {
            long pause = attempts.after(broken()).toMillis();
            assertTrue(pause >= 50L << i && pause <= 100L << i, "pause " + i + ": " + pause);
        }
        AntiphonException last = broken();
        assertSame(last, assertThrows(AntiphonException.class, () -> attempts.after(last)));
        assertEquals(5, last.tries());
    }

    @Test
    void whatMayDoThingsTwiceIsSentOnce() {
        for (Rpc<?, ?> once : List.of(
                rpc(AuthServiceGrpc.getLoginMethod(), LoginRequest.getDefaultInstance()),
                rpc(AuthServiceGrpc.getChangePasswordMethod(), ChangePasswordRequest.getDefaultInstance()),
                UNPROTECTED)) {
            Attempts attempts = Attempts.ofCall(once, Retries.DEFAULT, null);
            assertThrows(AntiphonException.class, () -> attempts.after(broken()));
        }
    }

    @Test
    void aLimitIsWaitedOutWhenThePauseIsShortAndThereIsTime() {
        Deadline soon = Deadline.after(1500, TimeUnit.MILLISECONDS);
        assertEquals(Duration.ofSeconds(2), Attempts.ofCall(CHAT, Retries.DEFAULT, null).after(limited(2)));
        assertThrows(AntiphonException.class, () -> Attempts.ofCall(CHAT, Retries.DEFAULT, null).after(limited(6)));
        assertThrows(AntiphonException.class, () -> Attempts.ofCall(CHAT, Retries.DEFAULT, soon).after(limited(2)));
    }

    @Test
    void anImageThatItsProviderRefusedIsNotAskedForAgain() {
        Rpc<?, ?> image = rpc(ImageServiceGrpc.getGenerateImageMethod(), GenerateImageRequest.getDefaultInstance());
        AntiphonException unusable = new AntiphonException(Code.UNAVAILABLE, "", Details.because("IMAGE_UNUSABLE"));
        assertThrows(AntiphonException.class, () -> Attempts.ofCall(image, Retries.DEFAULT, null).after(unusable));
    }

    @Test
    void anAnswerThatHasBegunIsNotBegunAnewBeneathItsReader() {
        AntiphonException interrupted =
                new AntiphonException(Code.UNAVAILABLE, "", Details.because("PROVIDER_UNAVAILABLE"));
        Attempts attempts = Attempts.ofStream(CHAT, Retries.DEFAULT, null);
        attempts.after(interrupted);
        attempts.progressed();
        assertThrows(AntiphonException.class, () -> attempts.after(interrupted));
    }

    @Test
    void anUnprotectedAnswerThatHasBegunIsGoneOnWith() {
        Attempts attempts = Attempts.ofStream(UNPROTECTED, Retries.DEFAULT, null);
        attempts.progressed();
        attempts.after(broken());
        assertEquals(2, attempts.tries());
    }

    private static <Q, R> Rpc<Q, R> rpc(MethodDescriptor<Q, R> method, Q request) {
        return Rpc.of(method, request, CallSettings.DEFAULT);
    }

    private static AntiphonException broken() {
        return new AntiphonException(Code.UNAVAILABLE, "broken", Details.NONE);
    }

    private static AntiphonException limited(int seconds) {
        Details details = new Details(
                "RATE_LIMITED", "antiphon", Map.of(), List.of(), Duration.ofSeconds(seconds), List.of(), null, "");
        return new AntiphonException(Code.RESOURCE_EXHAUSTED, "limited", details);
    }
}
