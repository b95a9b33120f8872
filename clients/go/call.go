package antiphon

import (
	"context"
	"slices"
	"time"

	"github.com/google/uuid"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

const requestIDHeader = "x-request-id"

type triesOption struct {
	grpc.EmptyCallOption
	count *int
}

type reconnectOption struct {
	grpc.EmptyCallOption
	told func(Reconnect)
}

type noRequestIDOption struct{ grpc.EmptyCallOption }

// CountTries counts in count how often a call was sent.
func CountTries(count *int) grpc.CallOption {
	return triesOption{count: count}
}

// Reconnect is what a call tells before it is tried again.
type Reconnect struct {
	// Failure is what the last try met.
	Failure *Error
	// Attempt is which try since something last came this will be, counted from 1.
	Attempt int
	// Pause is how long until then.
	Pause time.Duration
}

// OnReconnect calls told each time the connection has broken and is about to be sought again, in the goroutine that waits for it:
// for [Client.Stream], [Client.Resume] and downloads, which seek a server that is gone for good for about a minute ([Retries]), and
// for the tries of every other call.
func OnReconnect(told func(Reconnect)) grpc.CallOption {
	return reconnectOption{told: told}
}

// NoRequestID leaves a `request_id` empty that the request leaves empty. Nothing protects such a call from being done twice, so it
// is not repeated.
func NoRequestID() grpc.CallOption {
	return noRequestIDOption{}
}

// call is one call, with all its tries.
type call struct {
	client   *Client
	method   string
	request  any
	id       string
	policy   *policy
	attempts attempts
	options  []grpc.CallOption
	trailer  metadata.MD
	tries    *int
	told     func(Reconnect)
	token    string
	rejected string
}

func (c *Client) call(method string, request any, stream bool, options []grpc.CallOption) *call {
	policy := policyOf(method)
	call := &call{
		client:   c,
		method:   method,
		policy:   policy,
		attempts: attempts{retries: c.retries, policy: policy, stream: stream},
		tries:    new(int),
		told:     func(Reconnect) {},
	}
	call.options = append(slices.Clip(options), grpc.Trailer(&call.trailer))
	withID := true
	for _, option := range options {
		switch option := option.(type) {
		case triesOption:
			call.tries = option.count
		case reconnectOption:
			call.told = option.told
		case noRequestIDOption:
			withID = false
		}
	}
	call.request, call.id = identified(request, withID)
	return call
}

// identified gives a request that has a `request_id` one, in a copy, and returns the name of the call in the server's log.
func identified(request any, withID bool) (any, string) {
	message, field := requestID(request)
	if field == nil {
		return request, uuid.NewString()
	}
	if given := message.Get(field).String(); given != "" {
		return request, given
	}
	id := uuid.NewString()
	if withID {
		filled := message.New()
		proto.Merge(filled.Interface(), message.Interface())
		filled.Set(field, protoreflect.ValueOfString(id))
		request = filled.Interface()
	}
	return request, id
}

// requestID is the field that protects a call from being done twice; nil where the request has none.
func requestID(request any) (protoreflect.Message, protoreflect.FieldDescriptor) {
	if message, ok := request.(proto.Message); ok {
		reflected := message.ProtoReflect()
		if field := reflected.Descriptor().Fields().ByName("request_id"); field != nil && field.Kind() == protoreflect.StringKind {
			return reflected, field
		}
	}
	return nil, nil
}

// unprotected tells of a request whose `request_id` was left empty on purpose.
func (c *call) unprotected() bool {
	message, field := requestID(c.request)
	return field != nil && message.Get(field).String() == ""
}

// begin is the context of the next try, with the credential that it is sent with.
func (c *call) begin(ctx context.Context) (context.Context, error) {
	given, _ := metadata.FromOutgoingContext(ctx)
	c.token = ""
	if !c.policy.public && len(given.Get("authorization")) == 0 {
		token, err := c.client.tokens.token(ctx, c.rejected)
		if err != nil {
			return nil, err
		}
		if c.token = token; token != "" {
			ctx = metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+token)
		}
	}
	if len(given.Get(requestIDHeader)) == 0 {
		ctx = metadata.AppendToOutgoingContext(ctx, requestIDHeader, c.id)
	}
	*c.tries++
	return ctx, nil
}

// again waits until the next try. It returns what the call ends with when there is to be none.
func (c *call) again(ctx context.Context, err error) error {
	failure := c.client.failure(ctx, err, c.trailer)
	if c.token != "" && c.rejected == "" && renews(failure) && c.client.tokens.refreshToken() != "" {
		c.rejected = c.token
		return nil
	}
	pause, ok := c.attempts.after(ctx, failure)
	if !ok || c.unprotected() || c.client.isClosed() {
		return failure
	}
	c.told(Reconnect{Failure: failure, Attempt: c.attempts.failed, Pause: pause})
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-c.client.closed:
	case <-ctx.Done():
		return c.client.failure(ctx, ctx.Err(), nil)
	}
	return nil
}

// renews tells why a token is refused that a renewal may help with. A revoked one, too: a person whose role has changed gets a
// new one, and a session that has ended says so when it is renewed.
func renews(failure *Error) bool {
	switch failure.Reason {
	case "TOKEN_EXPIRED", "TOKEN_INVALID", "TOKEN_REVOKED":
		return failure.Code == codes.Unauthenticated
	}
	return false
}

// Invoke makes a unary call, as often as is safe and needed. The generated clients use it.
func (c *Client) Invoke(ctx context.Context, method string, request, response any, options ...grpc.CallOption) error {
	call := c.call(method, request, false, options)
	for {
		sent, err := call.begin(ctx)
		if err == nil {
			err = c.conn.Invoke(sent, method, call.request, response, call.options...)
		}
		if err == nil || call.attempts.removed(failureOf(err, nil)) {
			return nil
		}
		if err := call.again(ctx, err); err != nil {
			return err
		}
	}
}
