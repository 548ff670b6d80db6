package web

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"archiver/internal/conference"
	"archiver/internal/fault"
	"archiver/internal/state"
)

// Problem is an error as the API tells it: RFC 9457, with a code for scripts.
type Problem struct {
	Type   string `json:"type" doc:"Always about:blank: the code tells problems apart"`
	Title  string `json:"title" doc:"The status in words"`
	Status int    `json:"status" doc:"HTTP status"`
	Detail string `json:"detail" doc:"What was being done, to what, why it did not succeed, and what to do about it"`
	Code   string `json:"code" doc:"A stable name, such as not_tracked, listed, illegal, unresolved"`
}

// Error returns the detail.
func (p *Problem) Error() string { return p.Detail }

// GetStatus implements huma.StatusError.
func (p *Problem) GetStatus() int { return p.Status }

// ContentType implements huma.ContentTypeFilter.
func (p *Problem) ContentType(string) string { return "application/problem+json" }

func problem(status int, code, detail string) *Problem {
	return &Problem{Type: "about:blank", Title: http.StatusText(status), Status: status, Detail: detail, Code: code}
}

// huma makes its own errors through this variable, which is its place for it.
func init() {
	huma.DefaultArrayNullable = false // arrays are never null here
	huma.NewError = func(status int, msg string, errs ...error) huma.StatusError {
		for _, err := range errs {
			if err != nil {
				msg += ": " + err.Error()
			}
		}
		return problem(status, codeOf(status), msg)
	}
}

func codeOf(status int) string {
	return strings.ReplaceAll(strings.ToLower(http.StatusText(status)), " ", "_")
}

// problemOf says what an error means to whoever asked.
func problemOf(err error) error {
	if err == nil {
		return nil
	}
	if p, ok := errors.AsType[*Problem](err); ok {
		return p
	}
	if c, ok := errors.AsType[*conference.Error](err); ok {
		return problem(c.Status, c.Code, c.Message)
	}
	if _, ok := errors.AsType[*state.OpenError](err); ok {
		return problem(http.StatusServiceUnavailable, "state", err.Error())
	}
	if f, ok := errors.AsType[*fault.Error](err); ok {
		return problem(statusOf(f.Kind), string(f.Kind), err.Error())
	}
	switch {
	case errors.Is(err, state.ErrNotFound):
		return problem(http.StatusNotFound, "not_tracked", err.Error())
	case errors.Is(err, state.ErrIllegal):
		return problem(http.StatusConflict, "illegal", err.Error())
	case errors.Is(err, fs.ErrClosed):
		return problem(http.StatusServiceUnavailable, "stopped", err.Error()+"; the archiver is stopping, ask again when it runs")
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return problem(http.StatusServiceUnavailable, "stopped", "the request was given up: "+err.Error())
	}
	return problem(http.StatusInternalServerError, "internal", err.Error())
}

// statusOf is the status for what the vendor or a bucket did.
func statusOf(k fault.Kind) int {
	switch k {
	case fault.NotFound:
		return http.StatusNotFound
	case fault.Temporary, fault.NotReady, fault.Canceled:
		return http.StatusServiceUnavailable
	case fault.Forbidden, fault.Exists, fault.Changed:
		return http.StatusConflict
	case fault.Ambiguous:
		return http.StatusGatewayTimeout
	default: // what the other side refuses or spoils
		return http.StatusBadGateway
	}
}

// refuse writes a problem where huma is not yet, or no longer, in charge.
func refuse(w http.ResponseWriter, p *Problem) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(p.Status)
	_ = json.NewEncoder(w).Encode(p) // who has gone does not want it
}
