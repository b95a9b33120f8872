package antiphon

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	errorsv1 "github.com/antiphon-suite/antiphon-go/gen/antiphon/errors/v1"
)

// Error is a call that failed; every error of a call is one, to be had by [errors.As].
//
// Where the caller's context ended the call, [errors.Is] finds [context.Canceled] or [context.DeadlineExceeded], too, and
// [net.ErrClosed] where [Client.Close] did.
type Error struct {
	// Code is the canonical status code.
	Code codes.Code
	// Message for people.
	Message string
	// Reason is an antiphon.errors.v1.ErrorReason without its prefix. Empty when the failure is not the server's own word:
	// no connection, or a proxy.
	Reason string
	// Domain of the reason: `antiphon`.
	Domain string
	// Metadata of the reason, such as the `model` that was not found.
	Metadata map[string]string
	// Violations are the fields of the request that break a rule.
	Violations []Violation
	// Quotas are the limits that were reached.
	Quotas []Quota
	// Resource is what was not found, or exists already; nil for other failures.
	Resource *Resource
	// RequestID finds the call in the server's log.
	RequestID string

	retryAfter *time.Duration
	status     *status.Status
	cause      error
}

// Violation is a field, by its path in the request, and what is wrong with it.
type Violation struct{ Field, Description string }

// Quota is a limit that was reached: for whom, and which.
type Quota struct{ Subject, Description string }

// Resource is what an error is about: its type, such as `chat.session`, and its id.
type Resource struct{ Type, Name string }

// Error says what happened, with code and reason.
func (e *Error) Error() string {
	if e.Reason == "" {
		return fmt.Sprintf("%s (%s)", e.Message, e.Code)
	}
	return fmt.Sprintf("%s (%s, %s)", e.Message, e.Code, e.Reason)
}

// RetryAfter is how long the server asks to wait before the next call, if it does.
func (e *Error) RetryAfter() (time.Duration, bool) {
	if e.retryAfter == nil {
		return 0, false
	}
	return *e.retryAfter, true
}

// GRPCStatus is the status as it came, so that package status understands the error.
func (e *Error) GRPCStatus() *status.Status {
	return e.status
}

// ReasonValue is the reason as a value of the contract; ERROR_REASON_UNSPECIFIED when it is not the server's word, or newer
// than this client.
func (e *Error) ReasonValue() errorsv1.ErrorReason {
	return errorsv1.ErrorReason(errorsv1.ErrorReason_value["ERROR_REASON_"+e.Reason])
}

// Unwrap is what ended the call on the caller's side; nil for all other failures.
func (e *Error) Unwrap() error {
	return e.cause
}

// Reason is the reason of err when a failed call is in its chain, otherwise empty.
func Reason(err error) string {
	var failure *Error
	if errors.As(err, &failure) {
		return failure.Reason
	}
	return ""
}

func newError(code codes.Code, message string) *Error {
	return &Error{Code: code, Message: message, status: status.New(code, message)}
}

// failureOf is err with what the server attached to it.
func failureOf(err error, trailer metadata.MD) *Error {
	told, ok := status.FromError(err)
	if !ok {
		told = status.FromContextError(err)
	}
	failure := &Error{Code: told.Code(), Message: told.Message(), status: told}
	for _, detail := range told.Details() {
		switch detail := detail.(type) {
		case *errdetails.ErrorInfo:
			failure.Reason, failure.Domain, failure.Metadata = detail.GetReason(), detail.GetDomain(), detail.GetMetadata()
		case *errdetails.BadRequest:
			for _, violation := range detail.GetFieldViolations() {
				failure.Violations = append(failure.Violations, Violation{violation.GetField(), violation.GetDescription()})
			}
		case *errdetails.RetryInfo:
			after := detail.GetRetryDelay().AsDuration()
			failure.retryAfter = &after
		case *errdetails.QuotaFailure:
			for _, violation := range detail.GetViolations() {
				failure.Quotas = append(failure.Quotas, Quota{violation.GetSubject(), violation.GetDescription()})
			}
		case *errdetails.ResourceInfo:
			failure.Resource = &Resource{detail.GetResourceType(), detail.GetResourceName()}
		}
	}
	failure.RequestID = failure.Metadata["request_id"]
	if ids := trailer.Get("x-request-id"); len(ids) > 0 {
		failure.RequestID = ids[0]
	}
	return failure
}

// failure is what the err of a call means, where ctx is the caller's.
func (c *Client) failure(ctx context.Context, err error, trailer metadata.MD) *Error {
	var known *Error
	if errors.As(err, &known) {
		return known
	}
	failure := failureOf(err, trailer)
	broken := failure.Reason == "" && (failure.Code == codes.Unavailable || failure.Code == codes.Canceled)
	switch {
	case failure.Code == codes.Canceled && ctx.Err() != nil:
		failure.cause = ctx.Err()
	case failure.Code == codes.DeadlineExceeded && (failure.Reason == "" || failure.Reason == "DEADLINE_EXCEEDED"):
		// The server counts, too, and may tell first.
		if _, ok := ctx.Deadline(); ok {
			failure.cause = context.DeadlineExceeded
		}
	case broken && c.isClosed():
		failure = newError(codes.Canceled, "the client is closed")
		failure.cause = net.ErrClosed
	case broken && failure.Code == codes.Unavailable:
		failure.Message = fmt.Sprintf("%s can't be reached %s: %s", c.conn.Target(), c.transport, failure.Message)
	}
	return failure
}

func errCutShort() *Error {
	return newError(codes.Unavailable, "the stream ended before all had come")
}
