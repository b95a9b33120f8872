package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"

	antiphon "github.com/antiphon-suite/antiphon-go"

	chatv1 "github.com/antiphon-suite/antiphon-go/gen/antiphon/chat/v1"
	imagev1 "github.com/antiphon-suite/antiphon-go/gen/antiphon/image/v1"
	speechv1 "github.com/antiphon-suite/antiphon-go/gen/antiphon/speech/v1"
)

func (c *client) answer(ctx context.Context, asked *request, tell func(any)) (any, error) {
	seen, request := newSeen(), &chatv1.StreamChatRequest{}
	options, err := parse(asked.Request, request, seen)
	if err != nil {
		return nil, err
	}
	ctx, cancel := limited(ctx, asked)
	defer cancel()
	return events(c.Stream(ctx, request, options...), seen, asked, tell), nil
}

func (c *client) resume(ctx context.Context, asked *request, tell func(any)) (any, error) {
	seen, after := newSeen(), int64(0)
	if asked.AfterSeq != "" {
		var err error
		if after, err = asked.AfterSeq.Int64(); err != nil {
			return nil, err
		}
	}
	ctx, cancel := limited(ctx, asked)
	defer cancel()
	answer := c.Resume(ctx, asked.GenerationID, after, asked.ResumeToken, seen.options()...)
	return events(answer, seen, asked, tell), nil
}

func events(answer *antiphon.Answer, seen *seen, asked *request, tell func(any)) object {
	var text strings.Builder
	var failed error
	count := 0
	for event, err := range answer.Events() {
		if failed = err; err != nil {
			break
		}
		count++
		text.WriteString(event.GetTextDelta().GetText())
		tell(jsonOf(event))
		if count == asked.Take {
			break
		}
	}
	told := seen.outcome(failed)
	told["text"], told["count"], told["reconnects"] = text.String(), count, answer.Reconnects()
	return told
}

func (c *client) download(ctx context.Context, asked *request) (any, error) {
	seen := newSeen()
	invocation, err := invocationOf(asked, seen)
	if err != nil {
		return nil, err
	}
	ctx, cancel := limited(ctx, asked)
	defer cancel()
	var download *antiphon.Download
	switch request := invocation.request.(type) {
	case *imagev1.DownloadImageRequest:
		download = c.DownloadImage(ctx, request, invocation.options...)
	case *speechv1.DownloadAudioRequest:
		download = c.DownloadAudio(ctx, request, invocation.options...)
	default:
		return nil, fmt.Errorf("%s is no download", invocation.method)
	}
	digest := sha256.New()
	written, err := download.WriteTo(digest)
	told := seen.outcome(err)
	told["bytes"], told["sha256"] = written, hex.EncodeToString(digest.Sum(nil))
	told["told_sha256"], told["content_type"] = download.SHA256, download.ContentType
	return told, nil
}
