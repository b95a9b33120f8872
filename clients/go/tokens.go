package antiphon

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/types/known/timestamppb"

	authv1 "github.com/antiphon-suite/antiphon-go/gen/antiphon/auth/v1"
)

const (
	// refreshBefore is how long before its end an access token is renewed.
	refreshBefore  = 30 * time.Second
	refreshTimeout = 30 * time.Second
	// refreshPause is how long a renewal that failed is let be while the access token lives, where the server names no other time.
	refreshPause = time.Second
)

// tokens of a login session, renewed once for all callers who wait.
type tokens struct {
	client *Client

	mutex   sync.Mutex
	access  string
	ends    time.Time // Zero when not known.
	refresh string
	rests   time.Time
	renewal *renewal
}

type renewal struct {
	done   chan struct{}
	failed *Error
}

func newTokens(client *Client, access, refresh string) *tokens {
	return &tokens{client: client, access: access, refresh: refresh}
}

// token is an access token that is not rejected, renewed when that is due; empty for anonymous callers.
func (t *tokens) token(ctx context.Context, rejected string) (string, error) {
	t.mutex.Lock()
	resting := t.lives(rejected, 0) && time.Now().Before(t.rests)
	if t.refresh == "" || t.lives(rejected, refreshBefore) || resting {
		defer t.mutex.Unlock()
		return t.access, nil
	}
	if t.renewal == nil {
		t.renewal = &renewal{done: make(chan struct{})}
		// It is not called off with the caller: the server may have replaced the refresh token already.
		go t.renew(metadata.NewOutgoingContext(context.WithoutCancel(ctx), nil), t.renewal, t.refresh)
	}
	current := t.renewal
	t.mutex.Unlock()
	select {
	case <-current.done:
	case <-ctx.Done():
		return "", t.client.failure(ctx, ctx.Err(), nil)
	}
	t.mutex.Lock()
	defer t.mutex.Unlock()
	if current.failed != nil && !(transient(current.failed) && t.lives(rejected, 0)) {
		return "", current.failed
	}
	return t.access, nil
}

func (t *tokens) renew(ctx context.Context, current *renewal, refresh string) {
	ctx, cancel := context.WithTimeout(ctx, refreshTimeout)
	defer cancel()
	response := &authv1.RefreshTokenResponse{}
	request := &authv1.RefreshTokenRequest{RefreshToken: refresh}
	// One try: whoever needs the token has a retry loop already.
	err := t.client.conn.Invoke(ctx, authv1.AuthService_RefreshToken_FullMethodName, request, response)
	t.mutex.Lock()
	defer t.mutex.Unlock()
	switch {
	case t.refresh != refresh:
		// Somebody has logged in or out meanwhile.
	case err == nil:
		t.set(response)
	default:
		// The time that has run out is not the caller's.
		current.failed = t.client.failure(context.Background(), err, nil)
		pause := refreshPause
		if asked, ok := current.failed.RetryAfter(); ok {
			pause = asked
		}
		t.rests = time.Now().Add(pause)
	}
	t.renewal = nil
	close(current.done)
}

type tokenPair interface {
	GetAccessToken() string
	GetRefreshToken() string
	GetAccessTokenExpireTime() *timestamppb.Timestamp
}

// keep takes the tokens of a login.
func (t *tokens) keep(pair tokenPair) {
	t.mutex.Lock()
	defer t.mutex.Unlock()
	t.set(pair)
}

func (t *tokens) set(pair tokenPair) {
	t.access, t.refresh, t.ends, t.rests = pair.GetAccessToken(), pair.GetRefreshToken(), endOf(pair), time.Time{}
}

func (t *tokens) forget() {
	t.mutex.Lock()
	defer t.mutex.Unlock()
	t.access, t.refresh, t.ends = "", "", time.Time{}
}

func (t *tokens) refreshToken() string {
	t.mutex.Lock()
	defer t.mutex.Unlock()
	return t.refresh
}

func (t *tokens) lives(rejected string, margin time.Duration) bool {
	if t.access == "" || t.access == rejected {
		return false
	}
	return t.ends.IsZero() || time.Until(t.ends) > margin
}

// transient failures say nothing against a token: one that still lives is used on.
func transient(failure *Error) bool {
	switch failure.Code {
	case codes.Unavailable, codes.ResourceExhausted, codes.DeadlineExceeded, codes.Internal, codes.Unknown:
		return true
	}
	return false
}

// endOf counts from now by the token's own lifetime, so that the end is right even where this machine's clock is wrong.
func endOf(pair tokenPair) time.Time {
	if lifetime := lifetimeOf(pair.GetAccessToken()); lifetime > 0 {
		return time.Now().Add(lifetime)
	}
	if ends := pair.GetAccessTokenExpireTime(); ends != nil {
		return ends.AsTime()
	}
	return time.Time{}
}

// lifetimeOf a JSON Web Token (RFC 7519); 0 when it tells none. Whether the token is genuine is the server's business.
func lifetimeOf(token string) time.Duration {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return 0
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	var claims struct{ Exp, Iat float64 }
	if err != nil || json.Unmarshal(payload, &claims) != nil || claims.Iat == 0 {
		return 0
	}
	return time.Duration((claims.Exp - claims.Iat) * float64(time.Second))
}
