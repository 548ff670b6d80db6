package download

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"archiver/internal/fault"
	"archiver/internal/state"
)

// secretQuery is signed in the ways that vendors sign.
const secretQuery = "sign=tchXRYvuIsDY46D3297KGdceQllhPTEwMDQ1OTYwJmI9ZTUyJms%2BAbC=&q-signature=0f1e2d3c4b5a69788796a5b4c3d2e1f00f1e2d3c&x=(s3cr,etpart)"

// leaks lists what of secretQuery and the password stands in text.
func leaks(text string) []string {
	var found []string
	for _, s := range []string{
		"tchXRYvuIsDY46D3297KGdceQllhPTEw", "MDQ1OTYwJmI9ZTUyJms", "AbC", "0f1e2d3c4b5a69788796", "s3cr", "etpart", "hunter2", "sign=t",
	} {
		if strings.Contains(text, s) {
			found = append(found, s)
		}
	}
	return found
}

// everyText renders err in all ways that a logger might, and its causes too.
func everyText(err error) string {
	var b strings.Builder
	for ; err != nil; err = errors.Unwrap(err) {
		fmt.Fprintf(&b, "%v\n%+v\n%#v\n%q\n", err, err, err, err)
		if f, ok := errors.AsType[*fault.Error](err); ok {
			fmt.Fprintf(&b, "%+v\n%#v\n", *f, *f)
		}
	}
	return b.String()
}

// Servers that repeat everything they were told, in every phase of an answer.
func TestErrorsKeepSecrets(t *testing.T) {
	echo := func(r *http.Request) string {
		return r.RequestURI + " and " + r.URL.RawQuery + " and " + fmt.Sprintf("%q", r.URL.Query()) + " " + r.Header.Get("Authorization")
	}
	rawEcho := func(format string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			conn, _, err := w.(http.Hijacker).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			_, _ = fmt.Fprintf(conn, format, r.RequestURI)
			_ = conn.Close()
		}
	}
	servers := map[string]http.HandlerFunc{
		"not HTTP":    rawEcho("GET %s HTTP/1.1\r\n\r\n"),
		"bad status":  rawEcho("HTTP/1.1 2xx%s\r\n\r\n"),
		"bad header":  rawEcho("HTTP/1.1 200 OK\r\n%s\r\n\r\n"),
		"bad length":  rawEcho("HTTP/1.1 200 OK\r\nContent-Length: %s\r\n\r\n"),
		"bad coding":  rawEcho("HTTP/1.1 200 OK\r\nTransfer-Encoding: %s\r\n\r\n"),
		"status line": rawEcho("HTTP/1.1 403 %s\r\nContent-Length: 0\r\n\r\n"),
		"hangs up":    func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
		"cut":         rawEcho("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n%s"),
		"403":         func(w http.ResponseWriter, r *http.Request) { http.Error(w, echo(r), http.StatusForbidden) },
		"403 XML": func(w http.ResponseWriter, r *http.Request) {
			http.Error(w, "<Error><Code>"+echo(r)+"</Code><Message>x="+echo(r)+"</Message>", http.StatusForbidden)
		},
		"500": func(w http.ResponseWriter, r *http.Request) {
			http.Error(w, strings.Repeat("\x01", 3000)+strings.Repeat(echo(r), 20), http.StatusInternalServerError)
		},
		"404": http.NotFound,
		"302 to a bad URL": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Location", "http://me:hunter2@b ad/?"+r.URL.RawQuery)
			w.WriteHeader(http.StatusFound)
		},
		"302 to metadata": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://me:hunter2@169.254.169.254/?"+r.URL.RawQuery, http.StatusFound)
		},
		"302 to a dead end": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://me:hunter2@127.0.0.1:1/?"+r.URL.RawQuery, http.StatusFound)
		},
		"302 for ever": func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, r.RequestURI, http.StatusFound) },
		"echoed range": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Range", "bytes "+strings.Repeat("x", 40)+r.URL.Query().Get("sign"))
			w.WriteHeader(http.StatusPartialContent)
		},
		"echoed coding": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Encoding", strings.Repeat("x", 50)+r.URL.Query().Get("q-signature"))
		},
		"echoed ETag": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("ETag", strings.Repeat("x", 50)+r.URL.Query().Get("q-signature"))
		},
		"gzip": func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Content-Encoding", "gzip") },
	}
	pin := &state.SourceVersion{ETag: `"pinned"`, Strong: true, Length: 1000}
	for name, h := range servers {
		s := httptest.NewUnstartedServer(h)
		s.Start()
		c := newClient(t, Options{AllowLoopback: true, StallTimeout: time.Second})
		u := strings.Replace(s.URL, "http://", "http://me:hunter2@", 1) + "/dir/a.mp4?" + secretQuery
		for _, r := range []Request{{URL: u, Whole: true, Pin: pin}, {URL: u, Offset: 1, Length: 5, Pin: pin}} {
			_, _, err := fetch(t, c, r)
			if err == nil {
				t.Errorf("%s: no error", name)
				continue
			}
			text := everyText(err)
			if found := leaks(text); len(found) > 0 {
				t.Errorf("%s: %q in\n%s", name, found, text)
			}
			if !strings.Contains(err.Error(), "127.0.0.1") && !strings.Contains(err.Error(), "169.254") {
				t.Errorf("%s: %q does not name the host", name, err)
			}
		}
		c.Close()
		s.Close()
	}
}

// What is no secret has to survive: an error that says nothing helps nobody.
func TestEvidence(t *testing.T) {
	tests := []struct{ page, want string }{
		{"", ""},
		{"<Error><Code>SignatureDoesNotMatch</Code>\n<Message>The  request\tsignature differs</Message></Error>", "<Error><Code>SignatureDoesNotMatch</Code> <Message>The request signature differs</Message></Error>"},
		{"see http://me:pw@h/p?a=b&c=d now", "see http://…@h/p?… now"},
		{"token=abc def", "token=… def"},
		{"key AKIDaBxnhYynRGD3oUspR7 end", "key … end"},
		{"raw topsecret=1, 'topsecret=1'", "raw …, '…'"},
		{"a\x00b\x1b[31m\xffc", "a b [31m c"},
		{"<a href=\"http://h/?topsecret=1\">x</a>", "<a href=\"http://h/?…\">x</a>"},
		{strings.Repeat("a", 40), "…"},
		{"录制", "录制"},
	}
	for _, tt := range tests {
		if got := evidence(tt.page, true, []string{"topsecret=1"}); got != tt.want {
			t.Errorf("%q: %q, want %q", tt.page, got, tt.want)
		}
	}
	long := evidence(strings.Repeat("录 ", 2000), true, nil)
	if len(long) > maxEvidence || !strings.HasPrefix(long, "录 录 ") {
		t.Errorf("%d bytes: %q", len(long), long)
	}
	if got := evidence("all of this and half a topsec", false, nil); got != "all of this and half a" {
		t.Errorf("a page that goes on: %q", got)
	}
}

func TestErrorCode(t *testing.T) {
	for page, want := range map[string]string{
		"<Error><Code>AccessDenied</Code></Error>":     "AccessDenied",
		"<Code>Invalid.Param</Code>":                   "Invalid.Param",
		"<Code></Code>":                                "",
		"<Code>x=1</Code>":                             "",
		"<Code>AccessDenied":                           "",
		"<Code>" + strings.Repeat("a", 65) + "</Code>": "",
		"nothing": "",
	} {
		if got := errorCode(page); got != want {
			t.Errorf("%q: %q, want %q", page, got, want)
		}
	}
}

// The usual errors of the network keep their causes.
func TestScrubbedKeepsCauses(t *testing.T) {
	u, err := parseTarget("http://10.0.0.1:80/a?" + secretQuery)
	if err != nil {
		t.Fatal(err)
	}
	cause := fmt.Errorf("read tcp 10.0.0.1:34567->192.168.100.100:8080: %w", io.ErrClosedPipe)
	if got := u.scrubbed(cause); !errors.Is(got, io.ErrClosedPipe) {
		t.Errorf("%v lost its cause", got)
	}
	if got := u.scrubbed(fmt.Errorf("malformed %q: %w", "GET /a?"+secretQuery, io.ErrClosedPipe)); len(leaks(everyText(got))) > 0 {
		t.Errorf("%v tells too much", got)
	}
}

// An error page may tell more than the request did: the signer's key, or a
// part of the query where a code belongs.
func TestErrorPageOfAStore(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		http.Error(w, "<Error><Code>"+r.URL.Query().Get("token")+"</Code><AWSAccessKeyId>AKIDaBxnhYynRGD3oUspR7</AWSAccessKeyId>"+
			strings.Repeat("<Hint>expired</Hint>", 50), http.StatusForbidden)
	})
	_, err := loopback(t).Get(t.Context(), Request{URL: s.URL + "/a?token=onlyletters", Length: 1})
	f := faultOf(t, err, fault.LinkExpired)
	if f.Code != "" || strings.Contains(f.Error(), "AKIDaBxn") || strings.Contains(f.Error(), "onlyletters") {
		t.Errorf("code %q, %q tells too much", f.Code, f)
	}
	wantText(t, f, "<Hint>expired</Hint>")
	if n := len(f.Err.Error()); n > maxEvidence+len("403 Forbidden: ") {
		t.Errorf("%d bytes of evidence", n)
	}
}
