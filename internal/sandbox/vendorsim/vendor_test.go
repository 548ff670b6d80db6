package vendorsim_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"archiver/internal/sandbox/content"
	"archiver/internal/sandbox/vendorsim"
)

// clock is a clock that a test sets.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// world is a running vendor with two tenants, and a plain client.
type world struct {
	*vendorsim.Server
	t      *testing.T
	clock  *clock
	client *http.Client
}

var start = time.Date(2019, 5, 31, 1, 43, 9, 0, time.UTC)

func newWorld(t *testing.T, opts vendorsim.Options) *world {
	t.Helper()
	w := &world{t: t, clock: &clock{now: start.Add(24 * time.Hour)}}
	opts.Tenants = map[string]string{"acme": "key-a", "other": "key-b"}
	opts.Clock = w.clock.Now
	w.Server = vendorsim.New(opts)
	if err := w.Start(""); err != nil {
		t.Fatal(err)
	}
	tr := &http.Transport{DisableCompression: true}
	w.client = &http.Client{Transport: tr, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	t.Cleanup(func() {
		tr.CloseIdleConnections()
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	})
	return w
}

// add makes recording id of acme with one file of these bytes.
func (w *world) add(id string, c content.Content) {
	w.t.Helper()
	err := w.AddRecording(vendorsim.Recording{
		ID: id, Tenant: "acme", ConferenceKey: "1866", EntID: 52,
		Files: []vendorsim.File{{Start: start, Stop: start.Add(14 * time.Second), Content: c}},
	})
	if err != nil {
		w.t.Fatal(err)
	}
}

// post makes an API call and returns the answer as it came.
func (w *world) post(auth, name, body string) (int, string, error) {
	w.t.Helper()
	req, err := http.NewRequestWithContext(w.t.Context(), http.MethodPost, w.APIURL()+"/meeting/"+name, strings.NewReader(body))
	if err != nil {
		w.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	if auth != "" {
		req.Header.Set("auth", auth)
	}
	resp, err := w.client.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(b), err
}

type answer struct {
	Code    string          `json:"code"`
	State   int             `json:"state"`
	Message *string         `json:"message"`
	Data    json.RawMessage `json:"data"`
}

// call makes an API call whose answer is the vendor's.
func (w *world) call(auth, name, body string) answer {
	w.t.Helper()
	_, text, err := w.post(auth, name, body)
	if err != nil {
		w.t.Fatalf("%s: %v", name, err)
	}
	var a answer
	if err := json.Unmarshal([]byte(text), &a); err != nil {
		w.t.Fatalf("%s answered %q: %v", name, text, err)
	}
	if ok := a.Code == "200"; ok != (a.State == 1) || ok != (a.Message == nil) {
		w.t.Errorf("%s: envelope contradicts itself: %s", name, text)
	}
	return a
}

// list calls getRecords and returns the items.
func (w *world) list(id string) []map[string]any {
	w.t.Helper()
	var items []map[string]any
	a := w.call("key-a", "getRecords", `{"recordId":"`+id+`"}`)
	if a.Code != "200" {
		w.t.Fatalf("getRecords %s: code %s", id, a.Code)
	}
	if err := json.Unmarshal(a.Data, &items); err != nil {
		w.t.Fatal(err)
	}
	return items
}

func (w *world) url(id string) string {
	w.t.Helper()
	items := w.list(id)
	if len(items) == 0 {
		w.t.Fatalf("%s lists nothing", id)
	}
	u, ok := items[0]["downUrl"].(string)
	if !ok {
		w.t.Fatalf("no downUrl in %v", items[0])
	}
	return u
}

type got struct {
	*http.Response
	body []byte
	err  error // of reading the body
}

// get downloads; header are pairs of name and value.
func (w *world) get(url string, header ...string) (got, error) {
	w.t.Helper()
	return w.do(http.MethodGet, url, header...)
}

func (w *world) do(method, url string, header ...string) (got, error) {
	w.t.Helper()
	req, err := http.NewRequestWithContext(w.t.Context(), method, url, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := w.client.Do(req)
	if err != nil {
		return got{}, err
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	return got{resp, b, err}, nil
}

// must is get where the transport must not fail.
func (w *world) must(url string, header ...string) got {
	w.t.Helper()
	g, err := w.get(url, header...)
	if err != nil {
		w.t.Fatal(err)
	}
	return g
}

func TestEnvelopeIsTheDocuments(t *testing.T) {
	w := newWorld(t, vendorsim.Options{})
	w.AddConference(vendorsim.Conference{Key: "1866", Tenant: "acme", Started: true})
	_, body, err := w.post("key-a", "openRecord", `{"conferenceKey":"1866"}`)
	if err != nil {
		t.Fatal(err)
	}
	want := `{
    "code": "200",
    "data": {
        "recordId": "a1e30001-207a-4853-ba39-c57600000001"
    },
    "message": null,
    "state": 1
}
`
	if diff := cmp.Diff(want, body); diff != "" {
		t.Error(diff)
	}
	_, body, _ = w.post("key-a", "closeLive", `{"conferenceKey":"1866"}`)
	if want := "{\n    \"code\": \"200\",\n    \"message\": null,\n    \"state\": 1\n}\n"; body != want {
		t.Errorf("closeLive answered %q", body)
	}
	remove := w.Inject(vendorsim.Fault{Call: "closeLive", Do: vendorsim.Style{TrailingCommas: true, NumericCode: true, Compact: true}})
	_, body, _ = w.post("key-a", "closeLive", `{"conferenceKey":"1866"}`)
	if want := `{"code":200,"message":null,"state":1,}` + "\n"; body != want {
		t.Errorf("with commas: %q", body)
	}
	remove()
	remove()
	if status, _, _ := w.post("key-a", "listRecords", `{}`); status != http.StatusNotFound {
		t.Errorf("an unknown call: %d", status)
	}
}

func TestConferenceCodes(t *testing.T) {
	w := newWorld(t, vendorsim.Options{ReadyDelay: time.Minute})
	for _, c := range []vendorsim.Conference{
		{Key: "1", Tenant: "acme"},
		{Key: "2", Tenant: "other", Started: true},
		{Key: "3", Tenant: "acme", Started: true, NoRecording: true, NoLive: true},
		{Key: "4", Tenant: "acme", Started: true, EntID: 52},
	} {
		w.AddConference(c)
	}
	steps := []struct{ auth, call, key, want string }{
		{"", "openRecord", "4", "403"},
		{"wrong", "openRecord", "4", "403"},
		{"key-a", "openRecord", "", "400"},
		{"key-a", "openRecord", "9", "200008"},
		{"key-a", "openRecord", "2", "200001"},
		{"key-a", "openRecord", "1", "200006"},
		{"key-a", "openRecord", "3", "200004"},
		{"key-a", "closeRecord", "4", "200007"},
		{"key-a", "closeRecord", "1", "200006"},
		{"key-a", "openRecord", "4", "200"},
		{"key-a", "openRecord", "4", "200003"},
		{"key-a", "closeRecord", "4", "200"},
		{"key-a", "openLive", "3", "200005"},
		{"key-a", "openLive", "1", "200006"},
		{"key-a", "openLive", "2", "200001"},
		{"key-a", "openLive", "4", "200"},
		{"key-a", "openLive", "4", "200002"},
		{"key-a", "closeLive", "4", "200"},
		{"key-a", "openLive", "4", "200"},
		{"key-a", "closeLive", "9", "200008"},
	}
	for i, s := range steps {
		if got := w.call(s.auth, s.call, `{"conferenceKey":"`+s.key+`"}`).Code; got != s.want {
			t.Errorf("step %d, %s of %s: code %s, want %s", i, s.call, s.key, got, s.want)
		}
	}
	var id struct{ RecordID string }
	if !w.StartConference("1") || w.StartConference("9") {
		t.Error("StartConference mistook a conference")
	}
	a := w.call("key-a", "openRecord", `{"conferenceKey":"1"}`)
	if err := json.Unmarshal(a.Data, &id); err != nil || id.RecordID == "" {
		t.Fatalf("data %s", a.Data)
	}
	if items := w.list(id.RecordID); len(items) != 0 {
		t.Errorf("a running recording lists %v", items)
	}
	w.EndConference("1")
	item := w.list(id.RecordID)[0]
	if item["downUrl"] != nil || item["stopTime"] != nil || item["recordId"] != id.RecordID {
		t.Errorf("not ready yet, but %v", item)
	}
	w.clock.Advance(time.Minute)
	if g := w.must(w.url(id.RecordID)); g.StatusCode != http.StatusOK || len(g.body) != 256<<10 {
		t.Errorf("status %d, %d bytes", g.StatusCode, len(g.body))
	}
}

func TestBadParameters(t *testing.T) {
	w := newWorld(t, vendorsim.Options{StatusInHTTP: true})
	w.add("r1", content.Bytes([]byte("x")))
	for _, body := range []string{"", "{", `{"recordId":5}`, `{}`, `{"recordId":"unknown"}`, `{"recordId":"` + strings.Repeat("x", 65) + `"}`, `{"recordId":"r1","origin":"` + strings.Repeat("x", 129) + `"}`} {
		if status, text, err := w.post("key-a", "getRecords", body); err != nil || status != 400 || !strings.Contains(text, `"code": "400"`) {
			t.Errorf("body %q: %d %q %v", body, status, text, err)
		}
	}
	if status, text, _ := w.post("key-b", "getRecords", `{"recordId":"r1"}`); status != 403 || !strings.Contains(text, `"code": "403"`) {
		t.Errorf("someone else's auth: %d %q", status, text)
	}
	if a := w.call("key-a", "getRecords", `{"recordId":"r1","origin":"https://apiServer"}`); a.Code != "200" {
		t.Errorf("with origin: %s", a.Code)
	}
	if calls := w.CallsOf("getRecords"); calls[len(calls)-1].Origin != "https://apiServer" {
		t.Errorf("logged %+v", calls[len(calls)-1])
	}
}

func TestListing(t *testing.T) {
	w := newWorld(t, vendorsim.Options{})
	w.add("second", content.Generate(2, 2000))
	now := w.clock.Now()
	err := w.AddRecording(vendorsim.Recording{
		ID: "first", Tenant: "acme", ConferenceKey: "1866", EntID: 52, Also: []string{"second"},
		Files: []vendorsim.File{
			{Start: start, Stop: start.Add(time.Hour), Content: content.Bytes(make([]byte, 1027797))},
			{Start: start.Add(time.Hour), Stop: start.Add(2 * time.Hour), Content: content.Generate(1, 5), CarriedID: "elsewhere", ReadyAt: now.Add(time.Minute)},
			{Start: start.Add(2 * time.Hour), Stop: start.Add(3 * time.Hour), Content: content.Generate(1, 6), ReadyAt: now.Add(time.Minute), Hidden: true},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	items := w.list("first")
	if len(items) != 3 {
		t.Fatalf("listed %v", items)
	}
	url, _ := items[0]["downUrl"].(string)
	delete(items[0], "downUrl")
	want := map[string]any{"recordId": "first", "conferenceKey": "1866", "entId": 52.0, "startTime": "2019-05-31 01:43:09", "stopTime": "2019-05-31 02:43:09", "fileSize": 1027797.0}
	if diff := cmp.Diff(want, items[0]); diff != "" {
		t.Error(diff)
	}
	if !strings.Contains(url, "/2019-05-31/1866_094309.mp4?sign=") && !strings.Contains(url, "/2019-05-31-2/1866_094309.mp4?sign=") {
		t.Errorf("link %s", url)
	}
	if items[1]["recordId"] != "elsewhere" || items[1]["downUrl"] != nil || items[2]["recordId"] != "second" {
		t.Errorf("items %v", items)
	}
	w.clock.Advance(time.Minute)
	if n := len(w.list("first")); n != 4 {
		t.Errorf("%d items after the minute, want 4", n)
	}
	if err := w.AddFile("first", vendorsim.File{Start: start, Content: content.Generate(1, 1)}); err != nil || len(w.list("first")) != 5 {
		t.Errorf("AddFile: %v", err)
	}
	if !w.RemoveFile("first", 0) || w.RemoveFile("first", 9) || len(w.list("first")) != 4 {
		t.Error("RemoveFile")
	}
}

func TestDeletion(t *testing.T) {
	for answer, want := range map[vendorsim.Answer]string{
		vendorsim.AnswerEmpty: "200 []", vendorsim.AnswerNull: "200 null", vendorsim.Answer400: "400 null", vendorsim.Answer200008: "200008 null",
	} {
		t.Run(string(answer), func(t *testing.T) {
			w := newWorld(t, vendorsim.Options{AfterDelete: answer})
			w.add("r1", content.Generate(1, 100))
			url := w.url("r1")
			if a := w.call("key-b", "delRecordFile", `{"recordId":"r1"}`); a.Code != "403" {
				t.Errorf("another tenant's delete: %s", a.Code)
			}
			if a := w.call("key-a", "delRecordFile", `{"recordId":"r1"}`); a.Code != "200" || !bytes.Contains(a.Data, []byte(`"r1"`)) {
				t.Errorf("delete: %s %s", a.Code, a.Data)
			}
			if g := w.must(url); g.StatusCode != http.StatusNotFound || !bytes.Contains(g.body, []byte("NoSuchKey")) {
				t.Errorf("a deleted file: %d %s", g.StatusCode, g.body)
			}
			a := w.call("key-a", "getRecords", `{"recordId":"r1"}`)
			if got := a.Code + " " + string(a.Data); got != want {
				t.Errorf("listing %s, want %s", got, want)
			}
			w.call("key-a", "delRecordFile", `{"recordId":"r1"}`)
			truth, ok := w.Recording("r1")
			if !ok || !truth.Deleted || truth.Deletions != 1 || truth.Files[0].Size != 100 {
				t.Errorf("truth %+v", truth)
			}
			if calls := w.CallsOf("delRecordFile"); calls[0].Effective || !calls[1].Effective || calls[2].Effective {
				t.Errorf("log %+v", calls)
			}
		})
	}
}

func TestDeletionSparesOthersOrNot(t *testing.T) {
	for _, takesAll := range []bool{false, true} {
		w := newWorld(t, vendorsim.Options{})
		w.add("second", content.Generate(2, 20))
		if err := w.AddRecording(vendorsim.Recording{ID: "first", Tenant: "acme", Also: []string{"second"}, DeleteTakesAll: takesAll}); err != nil {
			t.Fatal(err)
		}
		w.call("key-a", "delRecordFile", `{"recordId":"first"}`)
		if truth, _ := w.Recording("second"); truth.Deleted != takesAll {
			t.Errorf("takes all %t: second deleted %t", takesAll, truth.Deleted)
		}
		if n := len(w.list("first")); (n == 0) != takesAll {
			t.Errorf("takes all %t: %d items left", takesAll, n)
		}
	}
}
