package antiphon

import (
	"context"
	"errors"
	"sync"

	"google.golang.org/grpc"

	analyticsv1 "github.com/antiphon-suite/antiphon-go/gen/antiphon/analytics/v1"
	authv1 "github.com/antiphon-suite/antiphon-go/gen/antiphon/auth/v1"
	chatv1 "github.com/antiphon-suite/antiphon-go/gen/antiphon/chat/v1"
	imagev1 "github.com/antiphon-suite/antiphon-go/gen/antiphon/image/v1"
	speechv1 "github.com/antiphon-suite/antiphon-go/gen/antiphon/speech/v1"
)

// Client speaks to one address of a suite. It may be used by many goroutines at once.
//
// It is a [grpc.ClientConnInterface] itself, so clients that were generated elsewhere get the same behaviour from it.
type Client struct {
	Auth      authv1.AuthServiceClient
	APIKeys   authv1.ApiKeyServiceClient
	Chat      chatv1.ChatServiceClient
	Images    imagev1.ImageServiceClient
	Speech    speechv1.SpeechServiceClient
	Analytics analyticsv1.AnalyticsServiceClient

	conn      *grpc.ClientConn
	transport string // As messages name it.
	retries   Retries
	tokens    *tokens
	closed    chan struct{}
	end       func()
}

var _ grpc.ClientConnInterface = (*Client)(nil)

// New makes a client of server, which is `host:port`, `http://host:port` (plain text), `https://host:port` (TLS) or
// `unix:/path`. Without a scheme, loopback is spoken to in plain text and everything else over TLS, so that no token travels
// in the open unless that was asked for. Nothing is sent yet: the connection is made by the first call. An error is of what was
// given: an address that is none, options that contradict each other.
func New(server string, options ...Option) (*Client, error) {
	settings := settings{retries: DefaultRetries, keepalive: defaultKeepalive}
	for _, option := range options {
		option(&settings)
	}
	target, transport, err := settings.address(server)
	if err != nil {
		return nil, err
	}
	if !printable(settings.token) {
		return nil, errors.New("antiphon: a token has no characters but printable ASCII")
	}
	conn, err := grpc.NewClient(target, settings.dialOptions(transport)...)
	if err != nil {
		return nil, err
	}
	client := &Client{conn: conn, transport: "in plain text", retries: settings.retries.checked(), closed: make(chan struct{})}
	if transport.Info().SecurityProtocol == "tls" {
		client.transport = "over TLS"
	}
	client.end = sync.OnceFunc(func() { close(client.closed) })
	client.tokens = newTokens(client, settings.token, settings.refreshToken)
	client.Auth = authv1.NewAuthServiceClient(client)
	client.APIKeys = authv1.NewApiKeyServiceClient(client)
	client.Chat = chatv1.NewChatServiceClient(client)
	client.Images = imagev1.NewImageServiceClient(client)
	client.Speech = speechv1.NewSpeechServiceClient(client)
	client.Analytics = analyticsv1.NewAnalyticsServiceClient(client)
	return client, nil
}

// Close ends the connection, and every call that is under way: in their errors, and in those of later calls, [errors.Is] finds
// [net.ErrClosed].
func (c *Client) Close() error {
	c.end()
	return c.conn.Close()
}

func (c *Client) isClosed() bool {
	select {
	case <-c.closed:
		return true
	default:
		return false
	}
}

// Login begins a login session, whose access token is renewed from now on. It is never repeated by itself.
func (c *Client) Login(ctx context.Context, email, password string) (*authv1.User, error) {
	response, err := c.Auth.Login(ctx, &authv1.LoginRequest{Email: email, Password: password})
	if err != nil {
		return nil, err
	}
	c.tokens.keep(response)
	return response.GetUser(), nil
}

// Logout ends the login session. The client is anonymous afterwards.
func (c *Client) Logout(ctx context.Context) error {
	if token := c.tokens.refreshToken(); token != "" {
		if _, err := c.Auth.Logout(ctx, &authv1.LogoutRequest{RefreshToken: token}); err != nil {
			return err
		}
	}
	c.tokens.forget()
	return nil
}

// AccessToken is the token that calls are sent with, renewed when it is about to end; empty for an anonymous client.
func (c *Client) AccessToken(ctx context.Context) (string, error) {
	call := c.call(authv1.AuthService_RefreshToken_FullMethodName, nil, false, nil)
	for {
		token, err := c.tokens.token(ctx, "")
		if err == nil {
			return token, nil
		}
		if err := call.again(ctx, err); err != nil {
			return "", err
		}
	}
}
