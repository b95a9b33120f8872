package main

import (
	"errors"
	"strings"

	antiphon "github.com/antiphon-suite/antiphon-go"
	"google.golang.org/genproto/googleapis/rpc/code"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
)

type object map[string]any

// seen is what came beside the messages of an op.
type seen struct {
	headers  metadata.MD
	trailers metadata.MD
	tries    int
}

func newSeen() *seen {
	return &seen{}
}

func (s *seen) options() []grpc.CallOption {
	return []grpc.CallOption{grpc.Header(&s.headers), grpc.Trailer(&s.trailers), antiphon.CountTries(&s.tries)}
}

// outcome as the protocol has it, of a call that ended with err.
func (s *seen) outcome(err error) object {
	told := object{"ok": err == nil, "headers": first(s.headers), "trailers": first(s.trailers), "tries": s.tries}
	if err != nil {
		told["error"] = failure(err)
	}
	return told
}

func first(pairs metadata.MD) map[string]string {
	values := map[string]string{}
	for key, all := range pairs {
		// Binary values, such as a status' details, are no texts.
		if len(all) > 0 && !strings.HasSuffix(key, "-bin") {
			values[key] = all[0]
		}
	}
	return values
}

func failure(err error) object {
	var failed *antiphon.Error
	if !errors.As(err, &failed) {
		return object{"code": "UNKNOWN", "message": "no error of the client: " + err.Error(), "reason": ""}
	}
	told := object{"code": code.Code(failed.Code).String(), "message": failed.Message, "reason": failed.Reason}
	if failed.Domain != "" {
		told["domain"] = failed.Domain
	}
	if len(failed.Metadata) > 0 {
		told["metadata"] = failed.Metadata
	}
	if after, ok := failed.RetryAfter(); ok {
		told["retry_after_ms"] = after.Milliseconds()
	}
	if failed.Resource != nil {
		told["resource"] = object{"type": failed.Resource.Type, "name": failed.Resource.Name}
	}
	var violations, quotas []object
	for _, each := range failed.Violations {
		violations = append(violations, object{"field": each.Field, "description": each.Description})
	}
	for _, each := range failed.Quotas {
		quotas = append(quotas, object{"subject": each.Subject, "description": each.Description})
	}
	if violations != nil {
		told["violations"] = violations
	}
	if quotas != nil {
		told["quotas"] = quotas
	}
	return told
}
