package web_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"archiver/internal/apitype"
	"archiver/internal/state"
)

// told reads the lines of a backfill's answer.
func told(t *testing.T, a answer) (out []apitype.BackfillLine) {
	t.Helper()
	if a.status != 200 || a.err != nil || a.header.Get("Content-Type") != "application/x-ndjson" {
		t.Fatalf("%d %v %v %s", a.status, a.err, a.header, a.body)
	}
	for s := range strings.Lines(a.body) {
		var l apitype.BackfillLine
		if err := json.Unmarshal([]byte(s), &l); err != nil {
			t.Fatalf("%v in %s", err, s)
		}
		out = append(out, l)
	}
	return out
}

func TestBackfill(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	type call struct {
		Keys []state.Key
		Wait time.Duration
	}
	var calls []call
	fails := false
	w.ports.backfill = func(_ context.Context, keys []state.Key, wait time.Duration, progress func(apitype.Progress) error) (apitype.Summary, error) {
		calls = append(calls, call{keys, wait})
		err := progress(apitype.Progress{Recordings: len(keys), InFlight: []apitype.InFlight{}})
		if fails {
			err = errors.New("the state is gone")
		}
		return apitype.Summary{Recordings: map[string]int{"archived": 1}, Attention: []apitype.Attention{}}, err
	}
	a, b := state.Key{Tenant: "acme", RecordID: "a"}, state.Key{Tenant: "acme", RecordID: "b"}
	lines := told(t, w.ask("POST", "/api/v1/backfill", "\"b\"\n\"a\"\nbad\n\"b\"\n", ndjson))
	if len(lines) != 3 || lines[0].Invalid == nil || lines[0].Invalid.Line != 3 || lines[1].Progress == nil || lines[1].Progress.Recordings != 2 || lines[2].Summary == nil {
		t.Errorf("%+v", lines)
	}
	told(t, w.ask("POST", "/api/v1/backfill?all=true&wait=0s", ""))
	fails = true
	if lines := told(t, w.ask("POST", "/api/v1/backfill?wait=1h", `"a"`)); lines[len(lines)-1].Error != "the state is gone" || lines[len(lines)-1].Summary != nil {
		t.Errorf("%+v", lines)
	}
	if d := cmp.Diff([]call{{[]state.Key{a, b}, 15 * time.Minute}, {nil, 0}, {[]state.Key{a}, time.Hour}}, calls); d != "" {
		t.Error(d)
	}
	if lines := told(t, w.ask("POST", "/api/v1/backfill", "bad")); len(lines) != 2 || lines[1].Summary == nil {
		t.Errorf("nothing but invalid lines: %+v", lines)
	}
	if lines := told(t, w.ask("POST", "/api/v1/backfill?dry_run=true", "\"a\"\n\"b\"")); len(lines) != 3 || lines[0].Planned == nil || lines[1].Planned.RecordID != "b" || lines[2].Summary == nil {
		t.Errorf("%+v", lines)
	}
	if len(calls) != 3 {
		t.Errorf("%d backfills, want 3", len(calls))
	}
	for _, query := range []string{"wait=x", "wait=-1s", "wait=15", "all=true", "all=maybe"} {
		if a := w.ask("POST", "/api/v1/backfill?"+query, `"a"`); a.status != 422 {
			t.Errorf("%s: %d %s", query, a.status, a.body)
		}
	}
	w.ask("POST", "/api/v1/backfill", "\n\n").wants(t, 422, "invalid")
}

// TestBackfillIsFollowed: each line is there when it is told, and who leaves
// ends the following, not the archiving.
func TestBackfillIsFollowed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	next, left := make(chan struct{}), make(chan error, 1)
	w.ports.backfill = func(ctx context.Context, _ []state.Key, _ time.Duration, progress func(apitype.Progress) error) (apitype.Summary, error) {
		for i := range 2 {
			if err := progress(apitype.Progress{Done: i}); err != nil {
				left <- err
				return apitype.Summary{}, err
			}
			<-next
		}
		<-ctx.Done()
		left <- ctx.Err()
		return apitype.Summary{}, ctx.Err()
	}
	for _, query := range []string{"all=true", ""} {
		ctx, leave := context.WithCancel(t.Context())
		body := `"a"`
		if query != "" {
			body = ""
		}
		req, err := http.NewRequestWithContext(ctx, "POST", "http://"+w.tcp+"/api/v1/backfill?"+query, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		resp, err := w.client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(resp.Body)
		for i := range 2 {
			if !lines.Scan() {
				t.Fatalf("line %d: %v", i, lines.Err())
			}
			next <- struct{}{}
		}
		leave()
		if err := <-left; !errors.Is(err, context.Canceled) {
			t.Errorf("ended with %v", err)
		}
		resp.Body.Close()
	}
}
