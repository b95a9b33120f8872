package antiphon

import (
	"context"
	"io"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
)

// NewStream begins a stream. The generated clients use it.
//
// A stream of the server is begun again where that is safe, until its first message has come; from then on it ends with what
// happens to it. For answers and downloads [Client.Stream], [Client.Resume], [Client.DownloadImage] and [Client.DownloadAudio] do
// better.
func (c *Client) NewStream(ctx context.Context, desc *grpc.StreamDesc, method string, options ...grpc.CallOption) (grpc.ClientStream, error) {
	if !desc.ClientStreams {
		return &serverStream{ctx: ctx, client: c, desc: desc, method: method, options: options}, nil
	}
	call := c.call(method, nil, true, options)
	sent, err := call.begin(ctx)
	if err == nil {
		var stream grpc.ClientStream
		if stream, err = c.conn.NewStream(sent, desc, method, call.options...); err == nil {
			return stream, nil
		}
	}
	return nil, c.failure(ctx, err, nil)
}

// open sends the call's request as a stream of the server. Whoever opens one cancels ctx in the end.
func (c *call) open(ctx context.Context, desc *grpc.StreamDesc) (grpc.ClientStream, error) {
	sent, err := c.begin(ctx)
	if err != nil {
		return nil, err
	}
	stream, err := c.client.conn.NewStream(sent, desc, c.method, c.options...)
	if err != nil {
		return nil, err
	}
	// Of a stream that has failed already io.EOF is all that sending tells; receiving says why.
	if err := stream.SendMsg(c.request); err != nil && err != io.EOF {
		return nil, err
	}
	return stream, stream.CloseSend()
}

// serverStream is a stream of the server that may take several tries to begin.
type serverStream struct {
	ctx     context.Context
	client  *Client
	desc    *grpc.StreamDesc
	method  string
	options []grpc.CallOption
	call    *call
	cancel  context.CancelFunc
	stream  grpc.ClientStream
	failed  error
	begun   bool
}

func (s *serverStream) SendMsg(request any) error {
	s.call = s.client.call(s.method, request, true, s.options)
	return nil
}

func (s *serverStream) CloseSend() error {
	s.open()
	return nil
}

func (s *serverStream) open() {
	var ctx context.Context
	ctx, s.cancel = context.WithCancel(s.ctx)
	s.stream, s.failed = s.call.open(ctx, s.desc)
}

func (s *serverStream) RecvMsg(response any) error {
	for {
		err := s.failed
		if err == nil {
			err = s.stream.RecvMsg(response)
		}
		if err == nil {
			s.begun = true
			return nil
		}
		s.cancel()
		if err == io.EOF {
			return err
		}
		if s.begun {
			return s.client.failure(s.ctx, err, s.call.trailer)
		}
		if err := s.call.again(s.ctx, err); err != nil {
			s.failed = err
			return err
		}
		s.open()
	}
}

// Header is that of the latest try.
func (s *serverStream) Header() (metadata.MD, error) {
	if s.failed != nil {
		return nil, s.client.failure(s.ctx, s.failed, nil)
	}
	return s.stream.Header()
}

func (s *serverStream) Trailer() metadata.MD {
	return s.call.trailer
}

func (s *serverStream) Context() context.Context {
	return s.ctx
}
