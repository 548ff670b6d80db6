package conference_test

import (
	"bytes"
	"errors"
	"os"
	"strings"
	"testing"

	"archiver/internal/sandbox/vendorsim"
	"archiver/internal/state"
)

// TestStartRefused is every refusal that is known to have had no effect.
func TestStartRefused(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		key    string
		do     vendorsim.Action
		status int
		code   string
		says   string
	}{
		"not started":    {"2", nil, 409, "not_started", "try again when it runs"},
		"not allowed":    {"3", nil, 403, "recording_not_allowed", "200004"},
		"of another":     {"4", nil, 403, "not_yours", "200001"},
		"unknown":        {"9", nil, 404, "no_such_conference", "200008"},
		"already":        {"1", vendorsim.Envelope{Code: "200003"}, 409, "already_recording", out},
		"parameters":     {"1", vendorsim.Envelope{Code: "400"}, 400, "bad_request", "check the conference key"},
		"key refused":    {"1", vendorsim.Envelope{Code: "403"}, 502, "vendor_refuses_key", "archiver doctor"},
		"HTTP 401":       {"1", vendorsim.Status{Code: 401}, 502, "vendor_refuses_key", "archiver doctor"},
		"too many":       {"1", vendorsim.Status{Code: 429}, 503, "vendor_unavailable", "api_rate"},
		"unknown code":   {"1", vendorsim.Envelope{Code: "200099"}, 502, "vendor_answer", "200099"},
		"wrong api_url":  {"1", vendorsim.Status{Code: 404}, 503, "vendor_unavailable", "api_url"},
		"impossible key": {strings.Repeat("x", 65), nil, 400, "bad_request", "nothing was sent"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			if tt.do != nil {
				w.inject("openRecord", tt.do)
			}
			c, err := w.c.StartRecord(t.Context(), "acme", tt.key)
			w.refused(c, err, tt.status, tt.code, tt.says)
			if tt.code == "bad_request" && tt.do == nil {
				w.calls("openRecord", 0)
				return
			}
			if s := w.is(tt.key, state.SessionRefused); s.Error == "" {
				t.Error("nothing is said of why")
			}
			// It may be tried again at once.
			if _, err := w.c.StartRecord(t.Context(), "acme", tt.key); tt.key == "1" && err != nil {
				t.Error(err)
			}
			w.calls("openRecord", 2)
		})
	}
}

func TestVendorAway(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.ok(w.vendor.Close())
	c, err := w.c.StartRecord(t.Context(), "acme", "1")
	w.refused(c, err, 503, "vendor_unavailable", "start recording conference 1 of tenant acme")
	w.is("1", state.SessionRefused) // nobody was reached
}

func TestUnknownTenant(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c, err := w.c.StartLive(t.Context(), "beta", "4")
	w.refused(c, err, 404, "unknown_tenant", `"beta"`)
	c, err = w.c.StopRecord(t.Context(), "beta", "4")
	w.refused(c, err, 404, "unknown_tenant", `"beta"`)
	_, err = w.c.List(t.Context(), "beta")
	w.refused(c, err, 404, "unknown_tenant", `"beta"`)
	// One that was taken out of the configuration is still shown.
	ref := state.ConferenceRef{Tenant: "beta", ConferenceKey: "4", Kind: state.KindRecord}
	_, err = w.store.MoveConference(t.Context(), ref, func(state.Session) (state.SessionChange, error) { return state.Intend{}, nil })
	w.ok(err)
	if list, err := w.c.List(t.Context(), "beta"); err != nil || len(list) != 1 {
		t.Errorf("the list has %+v, %v", list, err)
	}
}

// TestStopRefused is what closeRecord may say, of a session that is open, and
// where there is none.
func TestStopRefused(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		do     vendorsim.Action
		status int
		code   string
		after  state.SessionStatus
	}{
		"not recording": {vendorsim.Envelope{Code: "200007"}, 409, "not_recording", state.SessionClosed},
		"ended":         {vendorsim.Envelope{Code: "200006"}, 409, "not_started", state.SessionClosed},
		"unknown":       {vendorsim.Envelope{Code: "200008"}, 404, "no_such_conference", state.SessionClosed},
		"of another":    {vendorsim.Envelope{Code: "200001"}, 403, "not_yours", state.SessionOpen},
		"key refused":   {vendorsim.Envelope{Code: "403"}, 502, "vendor_refuses_key", state.SessionOpen},
		"server error":  {vendorsim.Envelope{Code: "500"}, 503, "vendor_unavailable", state.SessionOpen},
		"lost":          {vendorsim.Reset{}, 503, "vendor_unavailable", state.SessionOpen},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.inject("closeRecord", tt.do)
			c, err := w.c.StopRecord(t.Context(), "acme", "1")
			w.refused(c, err, tt.status, tt.code, "stop recording conference 1 of tenant acme")
			w.is("1", "")
			begun, err := w.c.StartRecord(t.Context(), "acme", "1")
			w.ok(err)
			w.inject("closeRecord", tt.do)
			c, err = w.c.StopRecord(t.Context(), "acme", "1")
			w.refused(c, err, tt.status, tt.code)
			if s := w.is("1", tt.after); s.Error == "" || s.RecordID != begun.RecordID {
				t.Errorf("it is %+v", s)
			}
			if tt.after == state.SessionOpen {
				_, err = w.c.StopRecord(t.Context(), "acme", "1")
				w.ok(err)
			}
		})
	}
}

// Success without a recordId has stopped something: what, only the session may
// know.
func TestStoppedWithoutRecordID(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	nothing := vendorsim.Envelope{Code: "200"}
	w.inject("closeRecord", nothing)
	c, err := w.c.StopRecord(t.Context(), "acme", "1")
	w.refused(c, err, 502, "vendor_answer", "console", "archiver track")
	w.is("1", state.SessionClosed)
	begun, err := w.c.StartRecord(t.Context(), "acme", "1")
	w.ok(err)
	w.inject("closeRecord", nothing)
	ended, err := w.c.StopRecord(t.Context(), "acme", "1")
	w.ok(err)
	if ended.RecordID != begun.RecordID || ended.Status != "closed" {
		t.Errorf("stopped: %+v", ended)
	}
}

// A refused second start leaves open what is open.
func TestStartTwice(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	begun, err := w.c.StartRecord(t.Context(), "acme", "1")
	w.ok(err)
	c, err := w.c.StartRecord(t.Context(), "acme", "1")
	w.refused(c, err, 409, "already_recording", out)
	if s := w.is("1", state.SessionOpen); s.RecordID != begun.RecordID {
		t.Errorf("it is %+v", s)
	}
}

// TestLive has the URL in the answer and nowhere else.
func TestLive(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	begun, err := w.c.StartLive(t.Context(), "acme", "1")
	w.ok(err)
	if begun.Status != "open" || begun.Kind != "live" || begun.RecordID != "" || !strings.HasPrefix(begun.URL, "https://") {
		t.Errorf("started: %+v", begun)
	}
	list, err := w.c.List(t.Context(), "acme")
	w.ok(err)
	if len(list) != 1 || list[0].URL != "" {
		t.Errorf("the list has %+v", list)
	}
	raw, err := os.ReadFile(w.path)
	w.ok(err)
	if bytes.Contains(raw, []byte("/live/")) {
		t.Error("the URL is in the state")
	}
	c, err := w.c.StartLive(t.Context(), "acme", "1")
	w.refused(c, err, 409, "already_live", "archiver live stop 1 --tenant acme")
	ended, err := w.c.StopLive(t.Context(), "acme", "1")
	w.ok(err)
	if ended.Status != "closed" || ended.URL != "" {
		t.Errorf("stopped: %+v", ended)
	}
	c, err = w.c.StartLive(t.Context(), "acme", "3")
	w.refused(c, err, 403, "live_not_allowed", "200005")
	if w.tracked.Load() != 0 {
		t.Error("a live stream was tracked")
	}
}

// TestNoLive is a private cloud's vendor, which lacks the calls: whatever
// answers in their place, the reason is named.
func TestNoLive(t *testing.T) {
	t.Parallel()
	const says = "this vendor has no live streams: openLive exists in the public cloud only"
	for name, tt := range map[string]struct {
		do     vendorsim.Action
		status int
		code   string
		after  state.SessionStatus
	}{
		"HTTP 404":        {vendorsim.Status{Code: 404}, 501, "no_live", state.SessionRefused},
		"HTTP 405":        {vendorsim.Status{Code: 405}, 501, "no_live", state.SessionRefused},
		"code 404":        {vendorsim.Envelope{Code: "404"}, 501, "no_live", state.SessionRefused},
		"code 200100":     {vendorsim.Envelope{Code: "200100"}, 502, "vendor_answer", state.SessionRefused},
		"a portal's page": {vendorsim.HTML{}, 504, "ambiguous", state.SessionUnresolved},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.inject("openLive", tt.do)
			c, err := w.c.StartLive(t.Context(), "acme", "1")
			w.refused(c, err, tt.status, tt.code, says)
			if errors.Unwrap(err) == nil {
				t.Error("the cause is not told")
			}
			if s := w.session("1", state.KindLive); s.Status != tt.after {
				t.Errorf("it is %s", s.Status)
			}
			w.inject("closeLive", tt.do)
			c, err = w.c.StopLive(t.Context(), "acme", "1")
			if err == nil {
				t.Fatalf("stopped: %+v", c)
			}
			if !strings.Contains(err.Error(), says) {
				t.Errorf("the error does not say it: %v", err)
			}
		})
	}
	// What is unresolved is settled by the same answer.
	w := newWorld(t)
	w.inject("openLive", vendorsim.HTML{})
	if _, err := w.c.StartLive(t.Context(), "acme", "1"); err == nil {
		t.Fatal("a page was taken for an answer")
	}
	w.inject("closeLive", vendorsim.Status{Code: 404})
	ended, err := w.c.StopLive(t.Context(), "acme", "1")
	w.ok(err)
	if ended.Status != "closed" || !strings.Contains(ended.Error, "cannot be known") {
		t.Errorf("stopped: %+v", ended)
	}
}
