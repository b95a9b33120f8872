package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"runtime"
	"strings"
	"sync"

	antiphon "github.com/antiphon-suite/antiphon-go"
)

type client struct{ *antiphon.Client }

// clients that the driver has opened, by their names.
type clients struct {
	mutex  sync.Mutex
	byName map[string]*client
}

// do does what is asked, tells events meanwhile, and returns the result. An error is the runner's own fault.
func (c *clients) do(ctx context.Context, asked *request, tell func(any)) (any, error) {
	switch asked.Op {
	case "hello":
		return object{"language": "go", "version": strings.TrimPrefix(runtime.Version(), "go")}, nil
	case "ping", "cancel":
		return object{}, nil
	case "open":
		return object{}, c.open(asked)
	}
	chosen, err := c.named(asked.Client)
	if err != nil {
		return nil, err
	}
	switch asked.Op {
	case "close":
		return object{}, c.close(asked.Client)
	case "login":
		return chosen.login(ctx, asked)
	case "token":
		ctx, cancel := limited(ctx, asked)
		defer cancel()
		token, err := chosen.AccessToken(ctx)
		if err != nil {
			return newSeen().outcome(err), nil
		}
		return object{"access_token": token}, nil
	case "call":
		return chosen.call(ctx, asked)
	case "stream":
		return chosen.stream(ctx, asked, tell)
	case "answer":
		return chosen.answer(ctx, asked, tell)
	case "resume":
		return chosen.resume(ctx, asked, tell)
	case "pages":
		return chosen.pages(ctx, asked)
	case "download":
		return chosen.download(ctx, asked)
	case "bench":
		return chosen.bench(ctx, asked)
	}
	return nil, fmt.Errorf("there is no op %q", asked.Op)
}

func (c *clients) open(asked *request) error {
	options := []antiphon.Option{
		antiphon.WithToken(asked.Token),
		antiphon.WithRefreshToken(asked.RefreshToken),
		antiphon.WithRetries(antiphon.Retries{Attempts: asked.Retries, ResumeAttempts: asked.Retries}),
	}
	if asked.TLS != nil {
		config, err := asked.TLS.config()
		if err != nil {
			return err
		}
		options = append(options, antiphon.WithTLS(config))
	}
	opened, err := antiphon.New(asked.Address, options...)
	if err != nil {
		return err
	}
	c.mutex.Lock()
	defer c.mutex.Unlock()
	if before, ok := c.byName[asked.Client]; ok {
		before.Close()
	}
	c.byName[asked.Client] = &client{opened}
	return nil
}

func (f *tlsFiles) config() (*tls.Config, error) {
	config, err := antiphon.TLSFiles(f.CA, f.Certificate, f.Key)
	if err == nil {
		config.ServerName = f.ServerName
	}
	return config, err
}

func (c *clients) named(name string) (*client, error) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	if found, ok := c.byName[name]; ok {
		return found, nil
	}
	return nil, fmt.Errorf("no client is called %q", name)
}

func (c *clients) close(name string) error {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	closed := c.byName[name]
	delete(c.byName, name)
	return closed.Close()
}
