package antiphon

import (
	"context"
	"math/rand/v2"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
)

// Retries says how often a call that may safely be repeated is tried, and how long the pauses are.
//
// A pause begins with FirstDelay, doubles up to MaxDelay, and loses up to half of itself by chance. A server that asks for a
// longer pause than MaxDelay is not waited for.
type Retries struct {
	// Attempts are the tries of a call, and of a stream until its first message; 1 for none but the first.
	Attempts int
	// ResumeAttempts are those of a stream since its last message.
	ResumeAttempts int
	FirstDelay     time.Duration
	MaxDelay       time.Duration
}

// DefaultRetries give a call up after some seconds, and a stream after about a minute: longer than a server takes to be started
// again.
var DefaultRetries = Retries{Attempts: 5, ResumeAttempts: 24, FirstDelay: 100 * time.Millisecond, MaxDelay: 5 * time.Second}

// checked has the default wherever r says nothing.
func (r Retries) checked() Retries {
	if r.Attempts <= 0 {
		r.Attempts = DefaultRetries.Attempts
	}
	if r.ResumeAttempts <= 0 {
		r.ResumeAttempts = DefaultRetries.ResumeAttempts
	}
	if r.FirstDelay <= 0 {
		r.FirstDelay = DefaultRetries.FirstDelay
	}
	if r.MaxDelay <= 0 {
		r.MaxDelay = DefaultRetries.MaxDelay
	}
	return r
}

// These end a generation. One whose events have begun to arrive can't be begun anew beneath its reader.
var endsGeneration = map[string]bool{
	"GENERATION_INTERRUPTED": true,
	"PROVIDER_PROTOCOL":      true,
	"PROVIDER_RATE_LIMITED":  true,
	"PROVIDER_TIMEOUT":       true,
	"PROVIDER_UNAVAILABLE":   true,
	"TOO_LONG":               true,
}

// attempts are the tries of one call, or of a stream since its last message. They decide; they neither call nor wait.
type attempts struct {
	retries   Retries
	policy    *policy
	stream    bool
	failed    int
	begun     bool
	mayBeDone bool
}

// progressed tells that something new has arrived, so that the count of tries starts again.
func (a *attempts) progressed() {
	a.failed, a.begun = 0, true
}

// after is the pause before the next try, if there is to be one.
func (a *attempts) after(ctx context.Context, failure *Error) (time.Duration, bool) {
	a.failed++
	// A stream that has shown nothing yet is a call like any other: whoever waits wants to know soon that nobody answers.
	limit := a.retries.Attempts
	if a.begun {
		limit = a.retries.ResumeAttempts
	}
	if !a.policy.idempotent || a.failed >= limit || ctx.Err() != nil || !a.mayPass(failure) {
		return 0, false
	}
	pause := min(a.retries.FirstDelay<<min(a.failed-1, 20), a.retries.MaxDelay)
	pause -= time.Duration(rand.Float64() / 2 * float64(pause))
	if asked, ok := failure.RetryAfter(); ok {
		pause = max(pause, asked)
	}
	if end, ok := ctx.Deadline(); ok && time.Until(end) <= pause {
		return 0, false
	}
	// A limit is told before anything is done; of every other failure that may pass the server may have done its part.
	a.mayBeDone = a.mayBeDone || failure.Code != codes.ResourceExhausted
	return pause, true
}

// removed tells whether a call that removes something has done so: it is gone, and an earlier try, whose answer got lost, may
// be why.
func (a *attempts) removed(failure *Error) bool {
	return a.policy.removes && a.mayBeDone && failure.Code == codes.NotFound
}

func (a *attempts) mayPass(failure *Error) bool {
	after, asks := failure.RetryAfter()
	switch {
	case asks && after > a.retries.MaxDelay:
		return false
	case failure.Reason == "":
		return a.broken(failure.Code)
	case a.begun && endsGeneration[failure.Reason], a.policy.asksProvider && providerWasAsked(failure.Reason):
		return false
	case failure.Code == codes.Unavailable:
		return true
	}
	return asks && (failure.Code == codes.ResourceExhausted || failure.Code == codes.Aborted)
}

// broken tells what the connection's end looks like, and not the server's own failure, which has a reason.
func (a *attempts) broken(code codes.Code) bool {
	switch code {
	case codes.Unavailable, codes.Canceled:
		return true
	case codes.Internal, codes.Unknown:
		return a.stream
	}
	return false
}

// The server has asked the provider as often as helps, and each time may have its price.
func providerWasAsked(reason string) bool {
	switch reason {
	case "IMAGE_UNUSABLE", "IMAGES_NOT_STORED", "AUDIO_UNUSABLE", "AUDIO_NOT_STORED":
		return true
	}
	return strings.HasPrefix(reason, "PROVIDER_")
}
