package download

import (
	"net/http"
	"strings"
	"testing"

	"archiver/internal/fault"
)

// nastyURIs are what has to reach the wire byte for byte.
func nastyURIs() []string {
	return []string{
		"/a.mp4?sign=/aT6y5Hbc0kD6TP%2BWqZ52LC88SthPTEwMDQ1OTYwJmI9ZTUyJmY9",
		"/a.mp4?sign=a+b/c==&x",
		"/a.mp4?a=b;c",
		"/a.mp4?%zz",
		"/a.mp4?%",
		"/a.mp4?a=b&",
		"/a.mp4?&&=&",
		"/a.mp4?",
		"/a.mp4??a?b",
		"/a.mp4?\"<>\\^`{|}[]",
		"/a.mp4?x=录制",
		"/a.mp4?%e5%bd%95&%E5%BD%95",
		"/",
		"/?sign=1",
		"/a%2Fb/%2e%2e/c%20d.mp4?x",
		"/a/../b/./c?x",
		"/录制/a.mp4?x",
		"/a+b@c:d;e=f,g!$&'()*~.mp4?x",
		"/%41%7e?x",
		"//double/slash.mp4?a=/b//c&%zz",
		"/a//b?x",
		"/a.mp4/?x",
		"/*?x",
		"/a:b?c://d",
	}
}

func TestURIReachesTheWireUnchanged(t *testing.T) {
	var seen string
	target := serve(t, func(_ http.ResponseWriter, r *http.Request) { seen = r.RequestURI })
	var location string
	redirector := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header()["Location"] = []string{location}
		w.WriteHeader(http.StatusFound)
	})
	c := loopback(t)
	for _, uri := range nastyURIs() {
		if _, _, err := fetch(t, c, Request{URL: target.URL + uri + "#fragment", Whole: true}); err != nil {
			t.Errorf("%s: %v", uri, err)
		} else if seen != uri {
			t.Errorf("asked for %q, the server saw %q", uri, seen)
		}
		seen, location = "", target.URL+uri+"#fragment"
		if _, _, err := fetch(t, c, Request{URL: redirector.URL, Whole: true}); err != nil {
			t.Errorf("redirected to %s: %v", uri, err)
		} else if seen != uri {
			t.Errorf("redirected to %q, the server saw %q", uri, seen)
		}
	}
}

func TestURIThatCannotBeWrittenAsItIs(t *testing.T) {
	var seen string
	s := serve(t, func(_ http.ResponseWriter, r *http.Request) { seen = r.RequestURI })
	c := loopback(t)
	for url, want := range map[string]string{
		s.URL:                    "/",
		s.URL + "?a":             "/?a",
		s.URL + "/a b?c d":       "/a%20b?c%20d",
		s.URL + "//x/录?a=b":      s.URL + "//x/录?a=b", // no other way to say it without encoding
		"HTTP" + s.URL[4:] + "/": "/",
	} {
		if _, _, err := fetch(t, c, Request{URL: url, Whole: true}); err != nil {
			t.Errorf("%s: %v", url, err)
		} else if seen != want {
			t.Errorf("asked for %q, the server saw %q, want %q", url, seen, want)
		}
	}
}

func TestBadURLs(t *testing.T) {
	c := loopback(t)
	for url, kind := range map[string]fault.Kind{
		"":                               fault.Forbidden,
		"file:///etc/passwd":             fault.Forbidden,
		"ftp://host/a?topsecret":         fault.Forbidden,
		"//host/a?topsecret":             fault.Forbidden,
		"http:host?topsecret":            fault.Forbidden,
		"http:///a?topsecret":            fault.Rejected,
		"http://:80/?topsecret":          fault.Rejected,
		"http://a b/?topsecret":          fault.Rejected,
		"http://good\\@evil/?topsecret":  fault.Rejected,
		"http://[::1/?topsecret":         fault.Rejected,
		"http://h:x/?topsecret":          fault.Rejected,
		"http://录制.example/?topsecret":   fault.Rejected,
		"http://h/a\r\nX: y?topsecret":   fault.Rejected,
		"http://h/a?topsecret\x00":       fault.Rejected,
		"http://topsecret:pw@h%zz/a?b":   fault.Rejected,
		"javascript:alert('topsecret')":  fault.Forbidden,
		"data:text/plain,topsecret":      fault.Forbidden,
		"unix:///run/topsecret/sock/a?b": fault.Forbidden,
	} {
		_, err := c.Get(t.Context(), Request{URL: url, Whole: true})
		f := faultOf(t, err, kind)
		if strings.Contains(f.Error(), "topsecret") {
			t.Errorf("%q: the error %q tells too much", url, f)
		}
	}
}

func TestResolve(t *testing.T) {
	at, err := parseTarget("https://h:1/a/b%2Fc?q=1")
	if err != nil {
		t.Fatal(err)
	}
	for location, want := range map[string]string{
		"http://o/x?y=%zz#f":    "http://o/x?y=%zz",
		"//o/x?y":               "https://o/x?y",
		"/x%2fy?z=+":            "https://h:1/x%2fy?z=+",
		"x?y=%zz":               "https://h:1/a/x?y=%zz",
		"../x?y":                "https://h:1/x?y",
		"./x":                   "https://h:1/a/x",
		"x#f?y":                 "https://h:1/a/x",
		"?z":                    "https://h:1/a/b%2Fc?z",
		"":                      "https://h:1/a/b%2Fc?q=1",
		"#f":                    "https://h:1/a/b%2Fc?q=1",
		"https://u:p@o/x":       "https://o/x",
		"HTTPS://o":             "https://o/",
		"a/http://evil/?b=c":    "https://h:1/a/a/http://evil/?b=c",
		"x?next=http://o/&a=#f": "https://h:1/a/x?next=http://o/&a=",
	} {
		got, err := at.resolve(location)
		if err != nil {
			t.Errorf("%q: %v", location, err)
		} else if text := got.scheme + "://" + got.host + got.path + got.query; text != want {
			t.Errorf("%q leads to %s, want %s", location, text, want)
		}
		if got.user != nil {
			t.Errorf("%q takes user info along", location)
		}
	}
	for _, location := range []string{"ftp://o/x", "mailto:x", "http:", "http://", "http://o\n/", "%zz/"} {
		if got, err := at.resolve(location); err == nil {
			t.Errorf("%q leads to %s, want an error", location, got)
		}
	}
}

func TestRedirects(t *testing.T) {
	var hops []*http.Request
	final := serve(t, func(w http.ResponseWriter, r *http.Request) {
		hops = append(hops, r)
		partial(w, r, "0123456789")
	})
	first := serve(t, func(w http.ResponseWriter, r *http.Request) {
		hops = append(hops, r)
		switch {
		case r.URL.Path == "/last":
			http.Redirect(w, r, strings.Replace(final.URL, "127.0.0.1", "localhost", 1)+"/f", http.StatusTemporaryRedirect)
		case strings.HasPrefix(r.URL.Path, "/step"):
			http.Redirect(w, r, strings.TrimPrefix(r.URL.Path, "/step"), http.StatusMovedPermanently)
		case r.URL.Path == "/nowhere":
			w.WriteHeader(http.StatusFound)
		default:
			http.Redirect(w, r, r.URL.Path+"?again", http.StatusSeeOther)
		}
	})
	withUser := strings.Replace(first.URL, "http://", "http://me:hunter2@", 1)
	c := loopback(t)

	_, got, err := fetch(t, c, Request{URL: withUser + "/step/step/step/step/last", Offset: 3, Length: 4})
	if err != nil || got != "3456" {
		t.Fatalf("five redirects: %q, %v", got, err)
	}
	for i, r := range hops {
		if _, _, ok := r.BasicAuth(); ok != (i == 0) {
			t.Errorf("hop %d: has the password: %v", i, ok)
		}
		if r.Header.Get("Range") != "bytes=3-6" || r.Referer() != "" || r.Method != http.MethodGet {
			t.Errorf("hop %d: %s with the header %v", i, r.Method, r.Header)
		}
	}
	_, _, err = fetch(t, c, Request{URL: withUser + "/step/step/step/step/step/last", Whole: true})
	wantText(t, faultOf(t, err, fault.Temporary), "more than 5 redirects")
	hops = nil
	_, _, err = fetch(t, c, Request{URL: first.URL + "/loop?sign=topsecret", Whole: true})
	wantText(t, faultOf(t, err, fault.Temporary), "more than 5 redirects")
	if len(hops) != 6 {
		t.Errorf("%d requests in a loop, want 6", len(hops))
	}
	_, _, err = fetch(t, c, Request{URL: first.URL + "/nowhere", Whole: true})
	wantText(t, faultOf(t, err, fault.Temporary), "without a location")

	closed := newClient(t, Options{AllowLoopback: true, Hosts: []string{"127.0.0.1"}})
	hops = nil
	_, _, err = fetch(t, closed, Request{URL: first.URL + "/last", Whole: true})
	wantText(t, faultOf(t, err, fault.Forbidden), "localhost", "download_hosts")
	if len(hops) != 1 {
		t.Errorf("%d requests, want 1: the second host is not allowed", len(hops))
	}
}

func TestRedirectToForbidden(t *testing.T) {
	c := loopback(t)
	for _, location := range []string{
		"http://169.254.169.254/latest?topsecret", "http://[::ffff:169.254.169.254]/", "http://[::]/",
		"file:///etc/passwd", "gopher://127.0.0.1/",
	} {
		s := serve(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", location)
			w.WriteHeader(http.StatusFound)
		})
		_, _, err := fetch(t, c, Request{URL: s.URL, Whole: true})
		if f := faultOf(t, err, fault.Forbidden); strings.Contains(f.Error(), "topsecret") {
			t.Errorf("the error %q tells too much", f)
		}
	}
}
