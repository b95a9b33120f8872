package antiphon

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"
)

const maxReceivedMessage = 64 << 20

// An answer may be silent for longer than what lies between lets a silent connection live.
var defaultKeepalive = keepalive.ClientParameters{Time: 30 * time.Second, Timeout: 10 * time.Second}

// Option says how a client is made.
type Option func(*settings)

type settings struct {
	token        string
	refreshToken string
	tls          *tls.Config
	plain        bool
	retries      Retries
	keepalive    keepalive.ClientParameters
	dial         []grpc.DialOption
}

// WithToken sends an access token or an API key with every call that looks at one.
func WithToken(token string) Option {
	return func(s *settings) { s.token = token }
}

// WithRefreshToken renews access tokens with the refresh token of a login session.
func WithRefreshToken(token string) Option {
	return func(s *settings) { s.refreshToken = token }
}

// WithTLS protects the connection as config says; [TLSFiles] reads one from files. A nil config trusts the system's authorities.
func WithTLS(config *tls.Config) Option {
	if config == nil {
		config = &tls.Config{}
	}
	return func(s *settings) { s.tls = config }
}

// WithPlaintext speaks plain text wherever the server is. Tokens can be read on the way then.
func WithPlaintext() Option {
	return func(s *settings) { s.plain = true }
}

// WithRetries replaces [DefaultRetries].
func WithRetries(retries Retries) Option {
	return func(s *settings) { s.retries = retries }
}

// WithKeepalive pings a connection that waits for an answer after interval, and gives it up when there is none for timeout.
func WithKeepalive(interval, timeout time.Duration) Option {
	return func(s *settings) { s.keepalive = keepalive.ClientParameters{Time: interval, Timeout: timeout} }
}

// WithDialOptions adds options of gRPC's own, after those of the client.
func WithDialOptions(options ...grpc.DialOption) Option {
	return func(s *settings) { s.dial = append(s.dial, options...) }
}

// TLSFiles reads a configuration for [WithTLS] from PEM files: the authorities to trust (empty: the system's), and, for
// mutual TLS, the caller's certificate and its key.
func TLSFiles(authorities, certificate, key string) (*tls.Config, error) {
	if (certificate == "") != (key == "") {
		return nil, errors.New("antiphon: mutual TLS needs both a certificate and its key")
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if authorities != "" {
		pem, err := os.ReadFile(authorities)
		if err != nil {
			return nil, err
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("antiphon: %s holds no certificate", authorities)
		}
	}
	if certificate != "" {
		pair, err := tls.LoadX509KeyPair(certificate, key)
		if err != nil {
			return nil, err
		}
		config.Certificates = []tls.Certificate{pair}
	}
	return config, nil
}

func (s *settings) address(server string) (target string, transport credentials.TransportCredentials, err error) {
	scheme, rest, found := strings.Cut(strings.TrimSpace(server), "://")
	if !found {
		scheme, rest = "", scheme
	}
	var secure bool
	if path, unix := strings.CutPrefix(rest, "unix:"); scheme != "" || !unix || path == "" {
		port, known := map[string]string{"": "", "http": "80", "https": "443"}[scheme]
		if rest = withPort(strings.TrimRight(rest, "/"), port); !known || rest == "" {
			return "", nil, fmt.Errorf("antiphon: %q is no address: write host:port, http://host:port or https://host:port", server)
		}
		secure = scheme == "https" || scheme == "" && !isLoopback(rest)
	}
	if s.plain && (s.tls != nil || scheme == "https") || s.tls != nil && scheme == "http" {
		return "", nil, fmt.Errorf("antiphon: %q: TLS and plain text were both asked for", server)
	}
	if s.tls != nil || secure && !s.plain {
		return rest, credentials.NewTLS(s.tls), nil
	}
	return rest, insecure.NewCredentials(), nil
}

// withPort is address, with port where it names none; empty when it is no address.
func withPort(address, port string) string {
	host, given, err := net.SplitHostPort(address)
	if err != nil {
		host, given, err = net.SplitHostPort(address + ":" + port)
	}
	if err != nil || host == "" || strings.ContainsAny(host, "/@?# \t") {
		return ""
	}
	if number, err := strconv.ParseUint(given, 10, 16); err != nil || number == 0 {
		return ""
	}
	return net.JoinHostPort(host, given)
}

func isLoopback(address string) bool {
	host, _, _ := net.SplitHostPort(address)
	ip, err := netip.ParseAddr(host)
	return strings.EqualFold(host, "localhost") || err == nil && ip.IsLoopback()
}

func printable(token string) bool {
	return !strings.ContainsFunc(token, func(r rune) bool { return r < ' ' || r > '~' })
}

func (s *settings) dialOptions(transport credentials.TransportCredentials) []grpc.DialOption {
	// Without these a server that was restarted is found again after up to two minutes only.
	reconnect := backoff.Config{BaseDelay: 100 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: 2 * time.Second}
	options := []grpc.DialOption{
		grpc.WithTransportCredentials(transport),
		grpc.WithUserAgent("antiphon-go/" + Version),
		grpc.WithKeepaliveParams(s.keepalive),
		grpc.WithConnectParams(grpc.ConnectParams{Backoff: reconnect, MinConnectTimeout: 5 * time.Second}),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxReceivedMessage)),
		// One retry loop only: ours, which knows the contract.
		grpc.WithDisableRetry(),
		grpc.WithDisableServiceConfig(),
	}
	return append(options, s.dial...)
}
