package dev.antiphon.client;

/** Any stream: its first message may be asked for again, its middle can't. */
final class OnceReader<R> implements Reader<R, R> {
    private final Rpc<?, R> rpc;
    private boolean begun;
    private boolean ended;

    OnceReader(Rpc<?, R> rpc) {
        this.rpc = rpc;
    }

    @Override
    public boolean ended() {
        return ended;
    }

    @Override
    public Rpc<?, R> nextCall() {
        return rpc;
    }

    @Override
    public R take(R response) {
        begun = true;
        return response;
    }

    @Override
    public void cutShort() {
        ended = true;
    }

    @Override
    public boolean givesUp(AntiphonException failure) {
        return begun;
    }
}
