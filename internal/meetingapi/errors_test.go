package meetingapi

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"archiver/internal/fault"
)

type codeTest struct {
	code     int
	sentinel error
	kind     fault.Kind
	attempts int        // of a repeatable call
	once     fault.Kind // of a call made once
}

// TestCodes is the table of codes: each told by the envelope, by the HTTP
// status where it has one, and by both.
func TestCodes(t *testing.T) {
	tests := []codeTest{
		{400, ErrBadParameters, fault.BadRequest, 1, fault.BadRequest},
		{401, ErrAuth, fault.Unauthorized, 1, fault.Unauthorized},
		{403, ErrAuth, fault.Unauthorized, 1, fault.Unauthorized},
		{500, ErrServer, fault.Temporary, 4, fault.Ambiguous},
		{200001, ErrNotYours, fault.Rejected, 1, fault.Rejected},
		{200002, ErrLiveAlreadyOpen, fault.Exists, 1, fault.Exists},
		{200003, ErrRecordingAlreadyOpen, fault.Exists, 1, fault.Exists},
		{200004, ErrRecordingNotAllowed, fault.Rejected, 1, fault.Rejected},
		{200005, ErrLiveNotAllowed, fault.Rejected, 1, fault.Rejected},
		{200006, ErrConferenceNotStarted, fault.NotReady, 1, fault.NotReady},
		{200007, ErrNotRecording, fault.NotReady, 1, fault.NotReady},
		{200008, ErrNoSuchConference, fault.Rejected, 1, fault.Rejected},
		{429, nil, fault.Temporary, 4, fault.Temporary},
		{502, ErrServer, fault.Temporary, 4, fault.Ambiguous},
		{503, ErrServer, fault.Temporary, 4, fault.Ambiguous},
		{504, ErrServer, fault.Temporary, 4, fault.Ambiguous},
		{404, nil, fault.Temporary, 1, fault.Temporary},
		{407, nil, fault.Temporary, 1, fault.Temporary},
		{408, nil, fault.Temporary, 4, fault.Ambiguous},
		{200099, nil, fault.Temporary, 1, fault.Temporary},
		{700, nil, fault.Temporary, 1, fault.Ambiguous},
	}
	for _, tt := range tests {
		code := strconv.Itoa(tt.code)
		envelope := `{"code":"` + code + `","state":0,"message":"说明 why","data":null}`
		replies := map[string]reply{"envelope": {body: envelope}}
		if tt.code < 600 {
			replies["HTTP"] = reply{status: tt.code}
			replies["both"] = reply{status: tt.code, body: envelope}
		} else if tt.sentinel != nil {
			replies["both"] = reply{status: 400, body: envelope}
		}
		for via, r := range replies {
			t.Run(code+" via "+via, func(t *testing.T) { tt.check(t, code, r) })
		}
	}
}

func (tt codeTest) check(t *testing.T, code string, r reply) {
	c, v, o := serve(t, r)
	_, err := c.GetRecords(t.Context(), "R1", Background)
	fe, ok := errors.AsType[*fault.Error](err)
	if !ok || fe.Kind != tt.kind || fe.Code != code || fe.Op != "vendor getRecords" || fe.Subject != "R1" {
		t.Fatalf("%v: %+v", err, fe)
	}
	if tt.sentinel != nil && !errors.Is(err, tt.sentinel) {
		t.Errorf("%v is not %v", err, tt.sentinel)
	}
	if fe.Status != max(r.status, 200) {
		t.Errorf("status %d", fe.Status)
	}
	if r.body != "" && !strings.Contains(err.Error(), "说明 why") || !strings.Contains(err.Error(), code) {
		t.Errorf("message %q", err)
	}
	if n := len(v.requests()); n != tt.attempts {
		t.Errorf("%d attempts, want %d", n, tt.attempts)
	}
	if o.labels[0] != "getRecords "+code {
		t.Errorf("observed %q", o.labels)
	}
	for _, call := range []string{"delRecordFile", "openRecord", "openLive"} {
		before := len(v.requests())
		_, err := do(t.Context(), c, call)
		if fault.KindOf(err) != tt.once || len(v.requests()) != before+1 {
			t.Errorf("%s: %v is %s, want %s; %d requests", call, err, fault.KindOf(err), tt.once, len(v.requests())-before)
		}
	}
}

// TestDisagreement: envelope and HTTP status tell different things.
func TestDisagreement(t *testing.T) {
	tests := []struct {
		status     int
		code       string
		want       fault.Kind
		wantedCode string
	}{
		{403, "200001", fault.Rejected, "200001"},
		{404, "200008", fault.Rejected, "200008"},
		{500, "403", fault.Unauthorized, "403"},
		{403, "500", fault.Unauthorized, "403"},
		{401, "400", fault.Unauthorized, "401"},
		{500, "400", fault.BadRequest, "400"},
		{400, "A0400", fault.BadRequest, "400"},
		{503, "200", fault.Temporary, "503"},
		{200, "E-17", fault.Temporary, "E-17"},
	}
	for _, tt := range tests {
		t.Run(fmt.Sprint(tt.status, tt.code), func(t *testing.T) {
			c, _, _ := serve(t, reply{status: tt.status, body: `{"code":"` + tt.code + `","state":1,"data":[]}`})
			_, err := c.GetRecords(t.Context(), "R1", Background)
			fe, ok := errors.AsType[*fault.Error](err)
			if !ok || fe.Kind != tt.want || fe.Code != tt.wantedCode {
				t.Errorf("%v: %+v", err, fe)
			}
		})
	}
}

func TestNotJSON(t *testing.T) {
	page := "<html><head><title>502 Bad Gateway</title></head>\n<body>\x00" + strings.Repeat("é", 400) + "</body></html>"
	tests := []struct {
		name     string
		r        reply
		kind     fault.Kind
		attempts int
		once     fault.Kind
		text     string
	}{
		{"page over 200", reply{body: page}, fault.Temporary, 4, fault.Ambiguous, "HTTP 200: "},
		{"page over 502", reply{status: 502, body: page}, fault.Temporary, 4, fault.Ambiguous, "502 "},
		{"page over 503", reply{status: 503, body: page}, fault.Temporary, 4, fault.Ambiguous, "503 "},
		{"page over 404", reply{status: 404, body: page}, fault.Temporary, 1, fault.Temporary, "404"},
		{"page over 400", reply{status: 400, body: page}, fault.Temporary, 4, fault.Temporary, "HTTP 400"},
		{"text over 200", reply{body: "Service is starting"}, fault.Temporary, 4, fault.Ambiguous, "Service is starting"},
		{"broken JSON", reply{body: `{"data":[{"downUrl":"http://h/a.mp4?sign=SIGNATURE`}, fault.Temporary, 4, fault.Ambiguous, "begins like JSON"},
		{"nothing", reply{}, fault.Temporary, 4, fault.Ambiguous, "an empty answer"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c, v, o := serve(t, tt.r)
			_, err := c.GetRecords(t.Context(), "R1", Background)
			if !errors.Is(err, ErrNotJSON) || fault.KindOf(err) != tt.kind || len(v.requests()) != tt.attempts {
				t.Errorf("%d attempts: %v", len(v.requests()), err)
			}
			if !strings.Contains(err.Error(), tt.text) || strings.Contains(err.Error(), "SIGNATURE") || strings.ContainsAny(err.Error(), "\n\x00") || len(err.Error()) > 512 {
				t.Errorf("text %q", err)
			}
			if strings.HasSuffix(o.labels[0], " 200") {
				t.Errorf("observed %q", o.labels)
			}
			if err := c.DelRecordFile(t.Context(), "R1", nil); fault.KindOf(err) != tt.once {
				t.Errorf("delRecordFile: %v is %s", err, fault.KindOf(err))
			}
		})
	}
	c, _, _ := serve(t, reply{status: 403, body: page})
	if _, err := c.GetRecords(t.Context(), "R1", Background); !errors.Is(err, ErrAuth) || !strings.Contains(err.Error(), "502 Bad Gateway") {
		t.Errorf("page over 403: %v", err)
	}
	c, _, _ = serve(t, reply{status: 400, body: "bad parameters"})
	if _, err := c.GetRecords(t.Context(), "R1", Background); fault.KindOf(err) != fault.BadRequest {
		t.Errorf("text over 400: %v", err)
	}
}

func TestRecoversAfterTemporaryErrors(t *testing.T) {
	c, v, o := serve(t, reply{status: 500}, reply{cut: true}, reply{body: "<html>"}, reply{body: sample(t, "get_records")})
	l, err := c.GetRecords(t.Context(), "R1", Background)
	if err != nil || len(l.Items) != 2 || len(v.requests()) != 4 {
		t.Fatalf("%v, %d items, %d requests", err, len(l.Items), len(v.requests()))
	}
	want := []string{"getRecords 500", "getRecords error", "getRecords error", "getRecords 200"}
	if d := cmp.Diff(want, o.labels); d != "" {
		t.Error(d)
	}
	c.opts.MaxAttempts = 2
	c, v, _ = serve(t, reply{status: 500})
	c.opts.MaxAttempts = 2
	if err := c.CloseLive(t.Context(), "1866"); !errors.Is(err, ErrServer) || len(v.requests()) != 2 {
		t.Errorf("%v, %d requests", err, len(v.requests()))
	}
}

// TestLostReply: the connection ends after the request was sent.
func TestLostReply(t *testing.T) {
	hints := map[string]string{
		"delRecordFile": "ask getRecords", "openRecord": "closeRecord", "openLive": "closeLive",
	}
	for call, hint := range hints {
		c, v, _ := serve(t, reply{cut: true})
		_, err := do(t.Context(), c, call)
		if fault.KindOf(err) != fault.Ambiguous || !strings.Contains(err.Error(), hint) || len(v.requests()) != 1 {
			t.Errorf("%s: %v, %d requests", call, err, len(v.requests()))
		}
	}
	for _, call := range []string{"getRecords", "closeRecord", "closeLive"} {
		c, v, _ := serve(t, reply{cut: true})
		if _, err := do(t.Context(), c, call); fault.KindOf(err) != fault.Temporary || len(v.requests()) != 4 {
			t.Errorf("%s: %v, %d requests", call, err, len(v.requests()))
		}
	}
	// An answer that ends too early.
	c, _, _ := serve(t, reply{body: "{", header: map[string]string{"Content-Length": "100"}})
	if err := c.DelRecordFile(t.Context(), "R1", nil); fault.KindOf(err) != fault.Ambiguous {
		t.Error(err)
	}
}

func TestNotSent(t *testing.T) {
	gone := httptest.NewServer(nil)
	gone.Close()
	c, o := dial(t, Options{BaseURL: gone.URL})
	for _, call := range []string{"delRecordFile", "openRecord", "openLive", "getRecords"} {
		if _, err := do(t.Context(), c, call); fault.KindOf(err) != fault.Temporary || !strings.Contains(err.Error(), "connection refused") {
			t.Errorf("%s: %v is %s", call, err, fault.KindOf(err))
		}
	}
	if len(o.labels) != 3+4 || o.labels[0] != "delRecordFile error" {
		t.Errorf("observed %q", o.labels)
	}

	c, _ = dial(t, Options{BaseURL: "http://vendor.invalid"})
	c.fresh.DialContext = func(context.Context, string, string) (net.Conn, error) {
		return nil, &net.OpError{Op: "dial", Err: &net.DNSError{Err: "no such host", Name: "vendor.invalid", IsNotFound: true}}
	}
	if err := c.DelRecordFile(t.Context(), "R1", nil); fault.KindOf(err) != fault.Temporary || !strings.Contains(err.Error(), "check api_url") {
		t.Errorf("DNS: %v", err)
	}
}

func TestRedirectIsNotFollowed(t *testing.T) {
	_, elsewhere, _ := serve(t, reply{body: `{"code":"200","state":1}`})
	for _, status := range []int{301, 302, 303, 307, 308} {
		c, v, o := serve(t, reply{status: status, header: map[string]string{"Location": "https://user:pw@other.example/x?token=T"}})
		_, err := c.GetRecords(t.Context(), "R1", Background)
		if fault.KindOf(err) != fault.Temporary || !strings.Contains(err.Error(), "https://other.example;") {
			t.Errorf("%d: %v", status, err)
		}
		if strings.Contains(err.Error(), "pw") || strings.Contains(err.Error(), "token") || len(v.requests()) != 1 {
			t.Errorf("%d: %v, %d requests", status, err, len(v.requests()))
		}
		if o.labels[0] != "getRecords "+strconv.Itoa(status) {
			t.Errorf("observed %q", o.labels)
		}
		if err := c.DelRecordFile(t.Context(), "R1", nil); fault.KindOf(err) != fault.Temporary {
			t.Errorf("%d: %v", status, err)
		}
	}
	if n := len(elsewhere.requests()); n != 0 {
		t.Errorf("%d requests elsewhere", n)
	}
}

// TestSecretsStayOut: the vendor echoes the key in every spelling, and URLs.
func TestSecretsStayOut(t *testing.T) {
	const echo = "key " + testAuth + ` and s3cr3t%2BAuth%2Fvalue%3D%3D see http://u:pw@h/p?sign=SIGNATURE&x=1 end`
	replies := []reply{
		{body: `{"code":"400","state":0,"message":"` + echo + `"}`},
		{body: `{"code":"` + testAuth + `","state":0}`},
		{body: `{"code":"200","state":"` + testAuth + `"}`},
		{status: 403, body: echo},
		{status: 502, body: "<html>" + strings.Repeat("x", 230) + echo},
		{body: echo},
		{status: 302, header: map[string]string{"Location": "http://x/" + echo}},
	}
	for _, r := range replies {
		c, _, o := serve(t, r)
		for _, call := range []string{"getRecords", "delRecordFile"} {
			_, err := do(t.Context(), c, call)
			if err == nil {
				t.Fatalf("%+v: no error", r)
			}
			fe, _ := errors.AsType[*fault.Error](err)
			all := fmt.Sprintf("%v %+v %#v %v", err, err, fe, o.labels)
			for _, secret := range []string{"s3cr3t", "SIGNATURE", "pw@"} {
				if strings.Contains(all, secret) {
					t.Errorf("%q in %s", secret, all)
				}
			}
		}
	}
}

func TestBadAuthIsNotSent(t *testing.T) {
	for _, bad := range []string{"", " ", "abc\n", "a\r\nX: y", "a\x00", "a\x7f"} {
		c, v, o := serve(t, reply{body: `{"code":"200","state":1}`})
		c.opts.Auth = func() (string, error) { return bad, nil }
		_, err := c.GetRecords(t.Context(), "R1", Background)
		if fault.KindOf(err) != fault.Unauthorized || len(v.requests()) != 0 || len(o.labels) != 0 {
			t.Errorf("%q: %v, %d requests, %q", bad, err, len(v.requests()), o.labels)
		}
		if strings.Contains(err.Error(), "abc") {
			t.Errorf("%v", err)
		}
	}
	c, v, _ := serve(t, reply{body: `{"code":"200","state":1}`})
	missing := errors.New("open key: no such file")
	c.opts.Auth = func() (string, error) { return "", missing }
	if err := c.DelRecordFile(t.Context(), "R1", nil); fault.KindOf(err) != fault.Unauthorized || !errors.Is(err, missing) || len(v.requests()) != 0 {
		t.Error(err)
	}
	c.opts.Auth = func() (string, error) { return "会议 800", nil } // the document allows an address
	if _, err := c.GetRecords(t.Context(), "R1", Background); err != nil || v.requests()[0].Auth != "会议 800" {
		t.Error(err)
	}
}

func TestHTTPStatusText(t *testing.T) {
	c, _, _ := serve(t, reply{status: http.StatusForbidden, body: `{"code":"403","state":0,"message":"认证失败"}`})
	_, err := c.GetRecords(t.Context(), "R1", Background)
	want := "vendor getRecords R1: HTTP 403: 403 the vendor refuses the auth value: 认证失败; " +
		"check the tenant's auth; the vendor also says this of a recording that belongs to another key"
	if err.Error() != want {
		t.Errorf("%q", err)
	}
}
