package antiphon

import (
	"context"
	"fmt"
	"iter"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	chatv1 "github.com/antiphon-suite/antiphon-go/gen/antiphon/chat/v1"
)

// Answer is the stream of one generation's events. It belongs to one goroutine.
type Answer struct {
	ctx        context.Context
	call       *call
	first      proto.Message
	yield      func(*chatv1.ChatEvent, error) bool
	generation string
	token      string
	seq        int64
	started    *chatv1.Started
	finished   *chatv1.Finished
	resumesAt  int64
	heard      bool
	ended      bool
	reconnects int
}

// Stream asks for an answer. Nothing is sent before its [Answer.Events] are read.
func (c *Client) Stream(ctx context.Context, request *chatv1.StreamChatRequest, options ...grpc.CallOption) *Answer {
	call := c.call(chatv1.ChatService_StreamChat_FullMethodName, request, true, options)
	return &Answer{ctx: ctx, call: call, first: call.request.(proto.Message), resumesAt: -1}
}

// Resume reads the events of a generation that come after position afterSeq; 0 for all of them. resumeToken is what an anonymous
// caller's answer told, and empty for others.
func (c *Client) Resume(ctx context.Context, generationID string, afterSeq int64, resumeToken string, options ...grpc.CallOption) *Answer {
	call := c.call(chatv1.ChatService_ResumeStream_FullMethodName, nil, true, options)
	return &Answer{ctx: ctx, call: call, generation: generationID, seq: afterSeq, token: resumeToken, resumesAt: afterSeq}
}

// Events are the events of the record, each once and in order: first `started`, last `finished`, or an error. When the connection
// breaks, or the server is started again, they go on where they broke off. Leaving the loop ends the call; what that means for
// the generation, `on_disconnect` of the request says. Events may be read once.
func (a *Answer) Events() iter.Seq2[*chatv1.ChatEvent, error] {
	return func(yield func(*chatv1.ChatEvent, error) bool) {
		a.yield = yield
		if err := a.call.read(a.ctx, a, func() { a.reconnects++ }); err != nil {
			yield(nil, err)
		}
	}
}

// Text reads the answer to its end, and returns its text; with an error what has come of it.
func (a *Answer) Text() (string, error) {
	var text []byte
	for event, err := range a.Events() {
		if err != nil {
			return string(text), err
		}
		text = append(text, event.GetTextDelta().GetText()...)
	}
	return string(text), nil
}

// GenerationID names the generation; empty until `started` has come.
func (a *Answer) GenerationID() string { return a.generation }

// ResumeToken is what an anonymous caller needs to resume or cancel; empty for others.
func (a *Answer) ResumeToken() string { return a.token }

// Seq is the last position that was read; [Client.Resume] goes on from there.
func (a *Answer) Seq() int64 { return a.seq }

// Started is the content of the first event, once it has come.
func (a *Answer) Started() *chatv1.Started { return a.started }

// Finished is the content of the last event, once it has come.
func (a *Answer) Finished() *chatv1.Finished { return a.finished }

// Reconnects counts how often the connection was sought again.
func (a *Answer) Reconnects() int { return a.reconnects }

func (a *Answer) next() (string, proto.Message, func() proto.Message) {
	a.heard = false
	if a.first != nil && a.generation == "" {
		// The request_id attaches the call to the generation that it began.
		return chatv1.ChatService_StreamChat_FullMethodName, a.first,
			func() proto.Message { return &chatv1.StreamChatResponse{} }
	}
	request := &chatv1.ResumeStreamRequest{GenerationId: a.generation, AfterSeq: a.seq, ResumeToken: a.token}
	return chatv1.ChatService_ResumeStream_FullMethodName, request,
		func() proto.Message { return &chatv1.ResumeStreamResponse{} }
}

func (a *Answer) take(message proto.Message) (bool, error) {
	event := message.(interface{ GetEvent() *chatv1.ChatEvent }).GetEvent()
	a.heard = true
	if event.GetSeq() <= a.seq {
		return false, nil
	}
	if event.GetFirstSeq() != a.seq+1 || event.GetFirstSeq() > event.GetSeq() {
		return false, newError(codes.DataLoss, fmt.Sprintf(
			"after position %d came an event that covers %d to %d", a.seq, event.GetFirstSeq(), event.GetSeq()))
	}
	a.seq = event.GetSeq()
	if started := event.GetStarted(); started != nil {
		a.started, a.generation = started, started.GetGenerationId()
		if token := started.GetResumeToken(); token != "" {
			a.token = token
		}
	}
	if finished := event.GetFinished(); finished != nil {
		a.finished, a.ended = finished, true
	}
	if !a.yield(event, nil) {
		return true, errStopped
	}
	return true, nil
}

func (a *Answer) whole(err error) bool {
	// Whoever asks for what comes after the last event is told that nothing does.
	return a.ended || err == nil && a.resumesAt == a.seq && !a.heard
}
