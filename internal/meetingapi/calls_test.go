package meetingapi

import (
	"context"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"archiver/internal/fault"
)

// TestDocumentSamples: every sample of the vendor's document is a success,
// trailing commas included.
func TestDocumentSamples(t *testing.T) {
	tests := []struct {
		call, file, want string
		body             map[string]string
	}{
		{"openRecord", "open_record", "a1e3595d-207a-4853-ba39-c576a5761952", map[string]string{"conferenceKey": "1866"}},
		{"closeRecord", "close_record", "a1e3595d-207a-4853-ba39-c576a5761952", map[string]string{"conferenceKey": "1866"}},
		{"getRecords", "get_records", "", map[string]string{"recordId": "R1"}},
		{"delRecordFile", "del_record_file", "", map[string]string{"recordId": "R1"}},
		{"delRecordFile", "del_record_file_2", "", map[string]string{"recordId": "R1"}},
		{"openLive", "open_live", "https://vapi.myvmr.cn/live/xxxx", map[string]string{"conferenceKey": "1866"}},
		{"closeLive", "close_live", "", map[string]string{"conferenceKey": "1866"}},
	}
	for _, tt := range tests {
		t.Run(tt.file, func(t *testing.T) {
			c, v, o := serve(t, reply{body: sample(t, tt.file)})
			got, err := do(t.Context(), c, tt.call)
			if err != nil || got != tt.want {
				t.Fatalf("got %q, %v, want %q", got, err, tt.want)
			}
			want := []seen{{
				Method: "POST", Path: "/meeting/" + tt.call, Auth: testAuth,
				ContentType: "application/json", UserAgent: "Go-http-client/1.1", Body: tt.body,
			}}
			if d := cmp.Diff(want, v.requests()); d != "" {
				t.Error(d)
			}
			if d := cmp.Diff([]string{tt.call + " 200"}, o.labels); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestGetRecordsSample(t *testing.T) {
	date := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	c, _, _ := serve(t, reply{body: sample(t, "get_records"), header: map[string]string{"Date": date.Format(http.TimeFormat)}})
	before := time.Now()
	got, err := c.GetRecords(t.Context(), "asked", Urgent)
	if err != nil {
		t.Fatal(err)
	}
	if !got.Date.Equal(date) || got.ReceivedAt.Before(before) || got.ReceivedAt.After(time.Now()) {
		t.Errorf("Date %v, ReceivedAt %v", got.Date, got.ReceivedAt)
	}
	if len(got.Items) != 2 {
		t.Fatalf("%d items", len(got.Items))
	}
	it := got.Items[1]
	if !strings.Contains(string(it.Raw), `"cid": "a15fcb02-9410-471c-af47-2b368715999f"`) {
		t.Errorf("Raw lost cid: %s", it.Raw)
	}
	it.Raw = nil
	want := Item{
		RecordID: "fef892788b675d384764e403781f1b1e", ConferenceKey: "1866", EntID: "52",
		StartTime: time.Date(2017, 2, 20, 1, 51, 10, 0, time.UTC), StartRaw: "2017-02-20 01:51:10",
		StopTime: time.Date(2017, 2, 20, 2, 51, 10, 0, time.UTC), StopRaw: "2017-02-20 02:51:10",
		FileSize: 102779700,
		DownURL:  "http://xxxxxx.cossh.myqcloud.com/2017-02-20/1866_100151.mp4?sign=/aT6y5Hbc0kD6TP%2BWqZ52LC88SthPTEwMDQ1OTYwJmI9ZTUyJms9QUtJRGFCeG5oWW5yUkdEM29Vc3BSN3JXMVY1WjBPaDA2dlpHJmU9MTU3MTYyMTYxNiZ0PTE1NzEwMTY4MTYmcj05MTc3MTM2MzgmZj0=",
	}
	if d := cmp.Diff(want, it); d != "" {
		t.Error(d)
	}
	if !it.Finished() || !got.Items[0].Finished() {
		t.Error("not finished")
	}
}

func TestRequestOptions(t *testing.T) {
	c, v, _ := serve(t, reply{body: `{"code":200,"state":1,"data":[]}`})
	c.opts.Origin, c.opts.UserAgent = "https://apiServer", "archiver/1"
	keys := []string{"one", "two"}
	c.opts.Auth = func() (string, error) {
		k := keys[0]
		keys = keys[1:]
		return k, nil
	}
	for range 2 {
		if _, err := c.GetRecords(t.Context(), "R1", Background); err != nil {
			t.Fatal(err)
		}
	}
	if d := cmp.Diff(map[string]string{"recordId": "R1", "origin": "https://apiServer"}, v.requests()[0].Body); d != "" {
		t.Error(d)
	}
	if r := v.requests(); r[0].Auth != "one" || r[1].Auth != "two" || r[0].UserAgent != "archiver/1" {
		t.Errorf("%+v", r)
	}
}

// TestEnvelope is the row of NOTES about what an answer may look like.
func TestEnvelope(t *testing.T) {
	const ok = fault.Kind("")
	tests := []struct {
		name, body string
		want       fault.Kind
	}{
		{"code as a number", `{"code":200,"state":1,"data":[]}`, ok},
		{"state as a string", `{"code":"200","state":"1"}`, ok},
		{"doubles", `{"code":200.0,"state":1.0}`, ok},
		{"byte order mark", "\xef\xbb\xbf" + `{"code":"200","state":1}`, ok},
		{"invalid UTF-8", `{"code":"200","state":1,"message":"` + "\xff\xfe" + `"}`, ok},
		{"unknown members and duplicates", `{"x":{"y":[1,]},"code":"500","code":"200","state":1}`, ok},
		{"data null", `{"code":"200","state":1,"data":null}`, ok},
		{"data absent", `{"code":"200","state":1}`, ok},
		{"data empty object", `{"code":"200","state":1,"data":{ }}`, ok},
		{"data empty array", `{"code":"200","state":1,"data":[ ]}`, ok},
		{"data a string", `{"code":"200","state":1,"data":"none"}`, fault.Temporary},
		{"data false", `{"code":"200","state":1,"data":false}`, fault.Temporary},
		{"state 0", `{"code":"200","state":0,"data":[]}`, fault.Temporary},
		{"no state", `{"code":"200","data":[]}`, fault.Temporary},
		{"no code", `{"state":1,"data":[]}`, fault.Temporary},
		{"state 1 with a failure's code", `{"code":"403","state":1,"data":[]}`, fault.Unauthorized},
		{"neither", `{"hello":"world"}`, fault.Temporary},
		{"array", `[]`, fault.Temporary},
		{"null", `null`, fault.Temporary},
		{"empty", ``, fault.Temporary},
		{"blank", " \n", fault.Temporary},
		{"truncated", `{"code":"200","state":1,"data":[`, fault.Temporary},
		{"only commas", `{"code":"200","state":1,"data":[,]}`, fault.Temporary},
		{"two commas", `{"code":"200","state":1,"data":[{},,]}`, fault.Temporary},
		{"deep", `{"code":"200","state":1,"data":` + strings.Repeat("[", 1<<20), fault.Temporary},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c, _, o := serve(t, reply{body: tt.body})
			l, err := c.GetRecords(t.Context(), "R1", Background)
			if got := fault.KindOf(err); got != tt.want || len(l.Items) != 0 {
				t.Errorf("got %q (%v), %d items, want %q", got, err, len(l.Items), tt.want)
			}
			if err != nil && !strings.HasPrefix(err.Error(), "vendor getRecords R1: ") {
				t.Errorf("error %q", err)
			}
			if err != nil && !strings.HasPrefix(tt.name, "data") && o.labels[0] == "getRecords 200" {
				t.Error("a failure was observed as 200")
			}
		})
	}
}

func TestSuccessWithoutID(t *testing.T) {
	for _, call := range []string{"openRecord", "closeRecord", "openLive"} {
		for _, data := range []string{``, `,"data":null`, `,"data":{}`, `,"data":{"recordId":"","liveurl":null}`, `,"data":"x"`} {
			c, v, _ := serve(t, reply{body: `{"code":"200","state":1` + data + `}`})
			got, err := do(t.Context(), c, call)
			if got != "" || fault.KindOf(err) != fault.Ambiguous || len(v.requests()) != 1 {
				t.Errorf("%s %s: %q, %v, %d requests", call, data, got, err, len(v.requests()))
			}
		}
	}
	c, _, _ := serve(t, reply{body: `{"code":"200","state":1,"data":{"recordId":12345678901234567890}}`})
	if got, err := c.CloseRecord(t.Context(), "1866"); err != nil || got != "12345678901234567890" {
		t.Errorf("a number: %q, %v", got, err)
	}
}

func TestInvalidSubjectIsNotSent(t *testing.T) {
	c, v, _ := serve(t, reply{body: `{"code":"200","state":1}`})
	for _, id := range []string{"", "a\nb", "\xff", strings.Repeat("x", 65)} {
		if err := c.DelRecordFile(t.Context(), id, nil); fault.KindOf(err) != fault.Rejected {
			t.Errorf("%q: %v", id, err)
		}
		if _, err := c.OpenRecord(t.Context(), id); fault.KindOf(err) != fault.Rejected {
			t.Errorf("%q: %v", id, err)
		}
	}
	if n := len(v.requests()); n != 0 {
		t.Errorf("%d requests", n)
	}
}

func TestValidRecordID(t *testing.T) {
	for _, s := range []string{"a", "02e555e21dc8dae6b6ea362ebbece8dd", strings.Repeat("会", 64), " ", "../x"} {
		if !ValidRecordID(s) {
			t.Errorf("%q is refused", s)
		}
	}
	for _, s := range []string{"", strings.Repeat("会", 65), "a\x00", "\u0085", "\x7f", "a\xc3"} {
		if ValidRecordID(s) {
			t.Errorf("%q is accepted", s)
		}
	}
}

func TestOversize(t *testing.T) {
	frame := `{"code":"200","state":1,"x":"` + `"}`
	for _, size := range []int{maxResponse, maxResponse + 1} {
		body := frame[:len(frame)-2] + strings.Repeat("a", size-len(frame)) + frame[len(frame)-2:]
		c, v, _ := serve(t, reply{body: body})
		_, err := c.GetRecords(t.Context(), "R1", Background)
		if size == maxResponse {
			if err != nil {
				t.Errorf("%d bytes: %v", size, err)
			}
			continue
		}
		if fault.KindOf(err) != fault.Temporary || !strings.Contains(err.Error(), "larger than 8 MiB") || len(v.requests()) != 1 {
			t.Errorf("%d bytes: %v", size, err)
		}
		if err := c.DelRecordFile(t.Context(), "R1", nil); fault.KindOf(err) != fault.Ambiguous {
			t.Errorf("%d bytes: %v", size, err)
		}
	}
}

func TestTooManyItems(t *testing.T) {
	for _, n := range []int{maxItems, maxItems + 1} {
		c, _, _ := serve(t, reply{body: `{"code":"200","state":1,"data":[` + strings.Repeat("1,", n) + `]}`})
		l, err := c.GetRecords(t.Context(), "R1", Background)
		if n == maxItems && (err != nil || len(l.Items) != n) {
			t.Errorf("%d: %d items, %v", n, len(l.Items), err)
		}
		if n > maxItems && (fault.KindOf(err) != fault.Temporary || !strings.Contains(err.Error(), strconv.Itoa(maxItems))) {
			t.Errorf("%d: %v", n, err)
		}
	}
}

func TestCanceledBeforeSending(t *testing.T) {
	c, v, _ := serve(t, reply{body: `{"code":"200","state":1}`})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := c.DelRecordFile(ctx, "R1", nil); fault.KindOf(err) != fault.Canceled {
		t.Error(err)
	}
	if n := len(v.requests()); n != 0 {
		t.Errorf("%d requests", n)
	}
}
