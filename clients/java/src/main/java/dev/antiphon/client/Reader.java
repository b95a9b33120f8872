package dev.antiphon.client;

import io.grpc.Status.Code;

/** Takes what the calls of a stream bring, one call after the other. Decides; neither calls nor waits. */
interface Reader<R, T> {
    /** Whether everything has come. */
    boolean ended();

    /** The call that brings what is still missing. */
    Rpc<?, ? extends R> nextCall();

    /** What is new in a response; null when nothing is. Throws AntiphonException when it does not follow what came before. */
    T take(R response);

    /** Told that a call has ended well. Throws AntiphonException when that was too early. */
    void cutShort();

    /** Whether nothing that a further call brings can go on where this failure broke off. */
    boolean givesUp(AntiphonException failure);

    /** What a connection shows that ended before its time. */
    static AntiphonException broken(String message) {
        return new AntiphonException(Code.UNAVAILABLE, message, AntiphonException.Details.NONE);
    }
}
