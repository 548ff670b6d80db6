package poller_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"archiver/internal/fault"
	"archiver/internal/poller"
	"archiver/internal/sandbox/vendorsim"
	"archiver/internal/state"
)

func TestFromWaitingToSettled(t *testing.T) {
	w := newWorld(t, func(o *poller.Options) { o.Tenants[0].SourceRetention = 24 * time.Hour })
	w.add("R", file(5*time.Minute, 100), file(7*time.Minute, 200))
	w.track("R")
	if d := cmp.Diff(poller.Result{Polled: 1}, w.run(0)); d != "" {
		t.Errorf("first run (-want +got):\n%s", d)
	}
	w.is("R", state.Waiting)
	if d := cmp.Diff(poller.Result{Polled: 1, Files: 1}, w.run(6*time.Minute)); d != "" {
		t.Errorf("one file ready (-want +got):\n%s", d)
	}
	w.is("R", state.Archiving)
	if d := cmp.Diff(poller.Result{Polled: 1, Files: 1}, w.run(time.Minute)); d != "" {
		t.Errorf("both ready (-want +got):\n%s", d)
	}
	if d := cmp.Diff(poller.Result{}, w.run(settle-time.Second)); d != "" {
		t.Errorf("nothing due (-want +got):\n%s", d)
	}
	if d := cmp.Diff(poller.Result{Polled: 1, Settled: 1}, w.run(time.Second)); d != "" {
		t.Errorf("settled (-want +got):\n%s", d)
	}
	r := w.get("R")
	if r.SettledAt.IsZero() || len(r.Files) != 2 || r.ConferenceKey != "1866" || r.EntID != "52" {
		t.Errorf("recording: %+v", r)
	}
	f := r.Files[0]
	if !strings.HasPrefix(f.Key, "acme/R/1866_") || f.DeclaredSize != 100 || !f.Deadline.Equal(start.Add(5*time.Minute+24*time.Hour)) {
		t.Errorf("file: %+v", f)
	}
	if strings.Contains(string(f.Vendor), "sign=") || strings.Contains(f.SourcePath, "?") {
		t.Errorf("a signed URL is in the state: %s %s", f.Vendor, f.SourcePath)
	}
	if urls := w.sink.links(key("R")); len(urls) != 2 || !strings.Contains(urls[0], "sign=") {
		t.Errorf("links handed on: %q", urls)
	}
	if w.sink.wakes != 3 { // two discoveries, one settling
		t.Errorf("%d wakes", w.sink.wakes)
	}
	for msg, n := range map[string]int{"file discovered": 2, "recording settled": 1} {
		if w.said(msg) != n {
			t.Errorf("%q was logged %d times", msg, w.said(msg))
		}
	}
	for _, e := range w.logs.All() {
		for _, f := range e.Context {
			if strings.Contains(f.String, "sign=") {
				t.Errorf("a signed URL was logged: %s", f.String)
			}
		}
	}
}

// The document's sample: one recordId, two items under two other recordIds.
const sample = `{"code":"200","data":[
{"recordId":"02e555e21dc8dae6b6ea362ebbece8dd","conferenceKey":"1866","entId":52,"startTime":"2019-05-31 01:43:09","fileSize":1027797,"stopTime":"2019-05-31 01:43:23","downUrl":"http://xxxxxxx.cossh.myqcloud.com/2019-05-31/1866_094309.mp4?sign=tchXRYvuIsDY46D3297KGdceQllhPTEwMDQ1OTYw"},
{"recordId":"fef892788b675d384764e403781f1b1e","conferenceKey":"1866","entId":52,"cid":"a15fcb02-9410-471c-af47-2b368715999f","startTime":"2017-02-20 01:51:10","fileSize":102779700,"stopTime":"2017-02-20 02:51:10","downUrl":"http://xxxxxx.cossh.myqcloud.com/2017-02-20/1866_100151.mp4?sign=/aT6y5Hbc0kD6TP%2BWqZ52LC88Sth"},
],"message":null,"state":1}`

// TestDocumentSample adopts both, although the vendor refuses to list them
// under their own ids, and never takes them for gone.
func TestDocumentSample(t *testing.T) {
	const asked, one, two = "a1e30000-207a-4853-ba39-c57600000000", "02e555e21dc8dae6b6ea362ebbece8dd", "fef892788b675d384764e403781f1b1e"
	for name, own := range map[string]string{
		"400":    `{"code":"400","state":0,"message":"bad"}`,
		"200008": `{"code":"200008","state":0,"message":"none"}`,
		"empty":  `{"code":200,"state":1,"data":[]}`,
	} {
		t.Run("own listing "+name, func(t *testing.T) {
			srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				body := own
				buf := make([]byte, 200)
				n, _ := r.Body.Read(buf)
				if strings.Contains(string(buf[:n]), asked) {
					body = sample
				}
				if _, err := w.Write([]byte(body)); err != nil {
					t.Error(err)
				}
			}))
			defer srv.Close()
			w := newWorld(t, func(o *poller.Options) {
				o.Tenants = []poller.Tenant{tenant(t, "acme", client(t, srv.URL, "k"))}
				o.Tenants[0].RecordIDs = []string{asked}
			})
			want := poller.Result{Polled: 3, Files: 2, Adopted: 2, Settled: 2} // the clock stands still: the adopted are due at once
			if d := cmp.Diff(want, w.run(0)); d != "" {
				t.Errorf("first run (-want +got):\n%s", d)
			}
			w.is(asked, state.Redirected)
			for range 10 {
				w.run(settle)
			}
			for id, size := range map[string]int64{one: 1027797, two: 102779700} {
				r := w.is(id, state.Archiving)
				if r.AdoptedFrom != asked || len(r.Files) != 1 || r.Files[0].DeclaredSize != size || r.SettledAt.IsZero() || r.Poll.Empty != 0 {
					t.Errorf("%s: %+v", id, r)
				}
			}
			if !strings.HasSuffix(w.get(two).Files[0].Key, two+"/1866_100151.mp4") {
				t.Errorf("key is %s", w.get(two).Files[0].Key)
			}
		})
	}
}

// TestAdoptedKeepTheirOwnPolls: recordings that have their own listings.
func TestAdoptedKeepTheirOwnPolls(t *testing.T) {
	w := newWorld(t)
	w.add("B", file(-time.Hour, 10))
	w.addRecording(vendorsim.Recording{ID: "A", Tenant: "acme", ConferenceKey: "1866", Also: []string{"B"}, Files: []vendorsim.File{file(-2*time.Hour, 20)}})
	w.track("A")
	w.run(0)
	w.run(time.Minute)
	for id, parent := range map[string]string{"A": "", "B": "A"} {
		if r := w.is(id, state.Archiving); r.AdoptedFrom != parent || len(r.Files) != 1 || r.SettledAt.IsZero() {
			t.Errorf("%s: %+v", id, r)
		}
	}
	// A late file of B that only its own listing shows.
	if err := w.vendor.AddFile("B", file(0, 30)); err != nil {
		t.Fatal(err)
	}
	w.run(2 * time.Hour)
	if n := len(w.get("B").Files); n != 2 {
		t.Errorf("B has %d files", n)
	}
}

// TestUnusableItems: what belongs to nobody else belongs to whom we asked for,
// and keeps the recording open.
func TestUnusableItems(t *testing.T) {
	w := newWorld(t)
	f := file(-time.Hour, 10)
	f.CarriedID = "bad\u0001id"
	w.add("R", f)
	remove := w.vendor.Inject(vendorsim.Fault{Call: "getRecords", Do: vendorsim.EditItems(func(items []vendorsim.Item) []vendorsim.Item {
		return append(items, vendorsim.Item{{Name: "surprise", Value: 1}})
	})})
	w.track("R")
	w.run(0)
	if r := w.is("R", state.Archiving); len(r.Files) != 1 || !r.SettledAt.IsZero() {
		t.Errorf("%+v", r)
	}
	remove()
	w.run(time.Minute)
	w.run(settle)
	if r := w.get("R"); r.SettledAt.IsZero() {
		t.Error("not settled")
	}
}

// TestOneBadRecording: whatever the vendor answers about some, the others go on.
func TestOneBadRecording(t *testing.T) {
	w := newWorld(t)
	faults := map[string]vendorsim.Action{
		"e400": vendorsim.Envelope{Code: "400"}, "e500": vendorsim.Envelope{Code: "500"}, "e1": vendorsim.Envelope{Code: "200001"},
		"e8": vendorsim.Envelope{Code: "200008"}, "h503": vendorsim.Status{Code: 503, RetryAfter: time.Hour}, "html": vendorsim.HTML{},
		"reset": vendorsim.Reset{}, "new": vendorsim.Envelope{Code: "999999"},
		"garbage": vendorsim.EditItems(func([]vendorsim.Item) []vendorsim.Item { return []vendorsim.Item{nil, {{Name: "downUrl", Value: 7}}} }),
	}
	for id, do := range faults {
		w.vendor.Inject(vendorsim.Fault{Call: "getRecords", Subject: id, Do: do})
		w.add(id, file(-time.Hour, 10))
		w.track(id)
	}
	for _, id := range []string{"a-good", "z-good"} {
		w.add(id, file(-time.Hour, 10))
		w.track(id)
	}
	res := w.run(0)
	if res.Polled != 3 || res.Failed != len(faults)-1 || res.Files != 2 {
		t.Errorf("%+v", res)
	}
	for _, id := range []string{"e400", "e500", "h503", "html", "reset", "new", "garbage"} {
		if r := w.is(id, state.Waiting); id != "garbage" && r.Poll.Error == "" {
			t.Errorf("%s has no error", id)
		}
	}
	for _, id := range []string{"e1", "e8"} {
		if r := w.is(id, state.Quarantined); r.Reason != state.VendorRejected {
			t.Errorf("%s: %s", id, r.Reason)
		}
	}
	if next := w.get("h503").Poll.NextAt; !next.Equal(start.Add(time.Hour)) {
		t.Errorf("Retry-After is not honoured: %s", next)
	}
	for _, id := range []string{"a-good", "z-good"} {
		if r := w.is(id, state.Archiving); r.SettledAt.IsZero() {
			t.Errorf("%s is not settled", id)
		}
	}
	for range 5 {
		w.run(4 * time.Minute)
	}
	if r := w.is("e400", state.Quarantined); r.Reason != state.VendorRejected || !strings.Contains(r.Detail, "400") {
		t.Errorf("e400: %s %s", r.Reason, r.Detail)
	}
}

func TestAsk(t *testing.T) {
	w := newWorld(t)
	w.add("R", file(-time.Hour, 10))
	w.add("U", file(-time.Hour, 10))
	w.track("R")
	r, err := w.Ask(t.Context(), key("R"))
	if err != nil || len(r.Files) != 1 || len(w.sink.links(key("R"))) != 1 {
		t.Errorf("%v %+v", err, r)
	}
	// Not tracked: the links alone.
	if _, err := w.Ask(t.Context(), key("U")); !errors.Is(err, state.ErrNotFound) || len(w.sink.links(key("U"))) != 1 {
		t.Errorf("%v", err)
	}
	if _, err := w.store.Get(t.Context(), key("U")); !errors.Is(err, state.ErrNotFound) {
		t.Errorf("%v", err)
	}
	if _, err := w.Ask(t.Context(), state.Key{Tenant: "gone", RecordID: "R"}); fault.KindOf(err) != fault.NotFound {
		t.Errorf("%v", err)
	}
	w.vendor.Inject(vendorsim.Fault{Call: "getRecords", Do: vendorsim.Envelope{Code: "500"}})
	if r, err := w.Ask(t.Context(), key("R")); fault.KindOf(err) != fault.Temporary || r.Poll.Error == "" {
		t.Errorf("%v %+v", err, r.Poll)
	}
}

// TestCut: a poll that is cut off changes nothing and is made again.
func TestCut(t *testing.T) {
	w := newWorld(t)
	w.add("R", file(-time.Hour, 10))
	w.track("R")
	before := w.get("R")
	remove := w.vendor.Inject(vendorsim.Fault{Call: "getRecords", Do: vendorsim.Hang{}})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { _, err := w.PollOnce(ctx, start); done <- err }()
	for len(w.vendor.Calls()) == 0 {
		select {
		case err := <-done:
			t.Fatalf("ended early: %v", err)
		case <-time.After(time.Millisecond):
		}
	}
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("error is %v", err)
	}
	if d := cmp.Diff(before, w.get("R")); d != "" {
		t.Errorf("changed (-before +after):\n%s", d)
	}
	if w.said("vendor does not answer") != 0 {
		t.Error("our own shutdown is taken for the vendor's")
	}
	remove()
	w.run(0)
	w.is("R", state.Archiving)
}

func TestNewRefuses(t *testing.T) {
	good := func() poller.Options {
		o := options(t, time.Now)
		o.Store = &failing{}
		o.Tenants = []poller.Tenant{tenant(t, "acme", client(t, "http://127.0.0.1:1", "k"))}
		return o
	}
	if _, err := poller.New(good()); err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func(*poller.Options){
		"store":       func(o *poller.Options) { o.Store = nil },
		"schedule":    func(o *poller.Options) { o.Schedule = nil },
		"concurrency": func(o *poller.Options) { o.Concurrency = 0 },
		"interval":    func(o *poller.Options) { o.MaxInterval = 0 },
		"settle":      func(o *poller.Options) { o.Settle = -1 },
		"vendor":      func(o *poller.Options) { o.Tenants[0].Vendor = nil },
		"key":         func(o *poller.Options) { o.Tenants[0].Key = nil },
		"twice":       func(o *poller.Options) { o.Tenants = append(o.Tenants, o.Tenants[0]) },
	} {
		o := good()
		spoil(&o)
		if _, err := poller.New(o); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// TestDeleting: a recording that is being deleted is not asked about, and not
// by a listing of another one changed.
func TestDeleting(t *testing.T) {
	w := newWorld(t)
	w.add("R", file(-time.Hour, 10))
	w.addRecording(vendorsim.Recording{ID: "A", Tenant: "acme", ConferenceKey: "1866", Also: []string{"R"}})
	w.track("R")
	w.run(0)
	archive(w, "R")
	f := w.get("R").Files[0]
	r, err := w.store.StoreWarrant(t.Context(), state.Warrant{
		ID: "w1", Tenant: "acme", RecordID: "R", At: start, Covers: []string{"R"},
		Evidence: []state.Evidence{{RecordID: "R", FileID: f.ID, Dest: f.Dest, Key: f.Key, Object: f.Object, Size: f.Size, Sums: f.Sums, Level: f.Level}},
	}, 100, func() error { return nil })
	if err != nil || r.Status != state.Deleting {
		t.Fatalf("%v %s", err, r.Status)
	}
	_, seq := w.asked(0)
	w.track("A")
	w.run(2 * time.Hour)
	if got, _ := w.asked(seq); !slices.Equal(got, []string{"A"}) {
		t.Errorf("asked about %v", got)
	}
	if after := w.is("R", state.Deleting); !after.Poll.NextAt.Equal(w.clock.Now().Add(time.Minute)) {
		t.Errorf("%+v", after.Poll)
	}
}
