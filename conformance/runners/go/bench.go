package main

import (
	"context"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	authv1 "github.com/antiphon-suite/antiphon-go/gen/antiphon/auth/v1"
	chatv1 "github.com/antiphon-suite/antiphon-go/gen/antiphon/chat/v1"
)

// benchWords are what a benchmark's streams echo, a word an event.
const benchWords = 200

func (c *client) bench(ctx context.Context, asked *request) (any, error) {
	began := time.Now()
	end := began.Add(time.Duration(asked.Seconds * float64(time.Second)))
	work := c.benchUnary
	if asked.Kind == "stream" {
		work = c.benchStream
	}
	var count atomic.Int64
	var failed atomic.Pointer[error]
	var all sync.WaitGroup
	for range asked.Concurrency {
		all.Go(func() {
			for time.Now().Before(end) {
				if err := work(ctx, end, &count); err != nil {
					failed.Store(&err)
					return
				}
			}
		})
	}
	all.Wait()
	if err := failed.Load(); err != nil {
		return nil, *err
	}
	return object{"count": count.Load(), "seconds": time.Since(began).Seconds()}, nil
}

func (c *client) benchUnary(ctx context.Context, _ time.Time, count *atomic.Int64) error {
	if _, err := c.Auth.GetProfile(ctx, &authv1.GetProfileRequest{}); err != nil {
		return err
	}
	count.Add(1)
	return nil
}

func (c *client) benchStream(ctx context.Context, end time.Time, count *atomic.Int64) error {
	text := strings.TrimSpace(strings.Repeat("word ", benchWords))
	request := &chatv1.StreamChatRequest{Model: "echo", Input: &chatv1.StreamChatRequest_Message{Message: text}}
	for _, err := range c.Stream(ctx, request).Events() {
		if err != nil {
			return err
		}
		count.Add(1)
		if !time.Now().Before(end) {
			return nil
		}
	}
	return nil
}
