package dev.antiphon.client;

import dev.antiphon.client.AntiphonException.Details;
import io.grpc.Context;
import io.grpc.Contexts;
import io.grpc.Status.Code;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;

/** Waiting that ends with its caller: with their context, and with their thread's interruption. */
final class Waiting {
    private Waiting() {}

    /** Whether {@code event} has come within {@code nanos}, well or not. Throws AntiphonException when the caller ends before it. */
    static boolean until(CompletableFuture<?> event, long nanos) {
        CompletableFuture<Void> cancelled = new CompletableFuture<>();
        Context caller = Context.current();
        Context.CancellationListener listener = context -> cancelled.complete(null);
        caller.addListener(listener, Runnable::run);
        try {
            CompletableFuture.anyOf(event, cancelled).get(nanos, TimeUnit.NANOSECONDS);
        } catch (TimeoutException e) {
            return false;
        } catch (ExecutionException e) {
            return true;
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new AntiphonException(Code.CANCELLED, "the thread was interrupted", Details.NONE);
        } finally {
            caller.removeListener(listener);
            // Otherwise the event would remember all who have ever waited for it.
            cancelled.complete(null);
        }
        if (event.isDone()) {
            return true;
        }
        Code code = Contexts.statusFromCancelled(caller).getCode();
        String message = code == Code.DEADLINE_EXCEEDED ? "the caller's time is over" : "the caller has cancelled";
        throw new AntiphonException(code, message, Details.NONE);
    }
}
