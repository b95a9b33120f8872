package dev.antiphon.client;

import com.google.protobuf.Message;
import dev.antiphon.chat.v1.ChatEvent;
import dev.antiphon.chat.v1.ChatServiceGrpc;
import dev.antiphon.chat.v1.Finished;
import dev.antiphon.chat.v1.ResumeStreamRequest;
import dev.antiphon.chat.v1.ResumeStreamResponse;
import dev.antiphon.chat.v1.Started;
import dev.antiphon.chat.v1.StreamChatRequest;
import dev.antiphon.chat.v1.StreamChatResponse;
import io.grpc.Status.Code;

/** Takes each event of a generation's record once and in order, whatever calls it comes from. */
final class RecordReader implements Reader<Message, ChatEvent> {
    private final Rpc<StreamChatRequest, StreamChatResponse> first;
    private final long resumesAt;
    private boolean heard;
    private boolean ended;
    volatile String generationId;
    volatile String resumeToken;
    volatile long seq;
    volatile Started started;
    volatile Finished finished;

    /** A record that {@code first} begins. */
    RecordReader(Rpc<StreamChatRequest, StreamChatResponse> first) {
        this(first, "", 0, "", -1);
    }

    /** The rest of a record. */
    RecordReader(String generationId, long afterSeq, String resumeToken) {
        this(null, generationId, afterSeq, resumeToken, afterSeq);
    }

    private RecordReader(
            Rpc<StreamChatRequest, StreamChatResponse> first,
            String generationId,
            long afterSeq,
            String resumeToken,
            long resumesAt) {
        this.first = first;
        this.generationId = generationId;
        this.seq = afterSeq;
        this.resumeToken = resumeToken;
        this.resumesAt = resumesAt;
    }

    @Override
    public boolean ended() {
        return ended;
    }

    /** Until the generation is known that is the first call again: its request_id attaches it to what it began. */
    @Override
    public Rpc<?, ? extends Message> nextCall() {
        heard = false;
        if (first != null && generationId.isEmpty()) {
            return first;
        }
        ResumeStreamRequest request = ResumeStreamRequest.newBuilder()
                .setGenerationId(generationId)
                .setAfterSeq(seq)
                .setResumeToken(resumeToken)
                .build();
        Rpc<ResumeStreamRequest, ResumeStreamResponse> resume =
                Rpc.of(ChatServiceGrpc.getResumeStreamMethod(), request, CallSettings.DEFAULT);
        return first == null ? resume : resume.named(first.requestId());
    }

    @Override
    public ChatEvent take(Message response) {
        ChatEvent event = response instanceof StreamChatResponse begun
                ? begun.getEvent()
                : ((ResumeStreamResponse) response).getEvent();
        heard = true;
        if (event.getSeq() <= seq) {
            return null;
        }
        if (event.getFirstSeq() != seq + 1 || event.getFirstSeq() > event.getSeq()) {
            throw new AntiphonException(
                    Code.DATA_LOSS,
                    "after position " + seq + " came an event that covers " + event.getFirstSeq() + " to " + event.getSeq(),
                    AntiphonException.Details.NONE);
        }
        seq = event.getSeq();
        if (event.hasStarted()) {
            started = event.getStarted();
            generationId = started.getGenerationId();
            resumeToken = started.getResumeToken().isEmpty() ? resumeToken : started.getResumeToken();
        } else if (event.hasFinished()) {
            finished = event.getFinished();
            ended = true;
        }
        return event;
    }

    @Override
    public void cutShort() {
        if (resumesAt == seq && !heard) {
            // Whoever asks for what comes after the last event is told that nothing does.
            ended = true;
        }
        if (!ended) {
            throw Reader.broken("the stream ended before the answer did");
        }
    }

    @Override
    public boolean givesUp(AntiphonException failure) {
        return false;
    }
}
