package web_test

import (
	"errors"
	"testing"
)

func TestAuthorization(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.set(func(p *ports) { p.token = "s3cret" })
	for _, c := range []struct {
		header string
		want   int
	}{
		{"", 401},
		{"Authorization: Bearer s3cret", 200},
		{"Authorization: bearer s3cret", 200},
		{"Authorization: Bearer s3cre", 401},
		{"Authorization: Bearer", 401},
		{"Authorization: Basic s3cret", 401},
		{"Authorization: s3cret", 401},
		{"Authorization: Bearer s3cret x", 401},
	} {
		with := []string{}
		if c.header != "" {
			with = append(with, c.header)
		}
		for _, path := range []string{"/api/v1/recordings", "/metrics", "/openapi.json"} {
			a := w.ask("GET", path, "", with...)
			if a.status != c.want {
				t.Errorf("%s with %q: %d, want %d", path, c.header, a.status, c.want)
			}
			if c.want == 401 {
				a.wants(t, 401, "unauthorized")
				if a.header.Get("WWW-Authenticate") != `Bearer realm="archiver"` {
					t.Errorf("WWW-Authenticate: %q", a.header.Get("WWW-Authenticate"))
				}
			}
		}
	}
	w.ask("GET", "/nothing", "").wants(t, 401, "unauthorized") // nor is it told what there is
	w.set(func(p *ports) { p.token = "rotated" })
	w.ask("GET", "/api/v1/stats", "", "Authorization: Bearer s3cret").wants(t, 401, "unauthorized")
	if a := w.ask("GET", "/api/v1/stats", "", "Authorization: Bearer rotated"); a.status != 200 {
		t.Errorf("the rotated token: %d", a.status)
	}
	w.set(func(p *ports) { p.tokenErr = errors.New("open /etc/token: no such file") })
	w.ask("GET", "/api/v1/stats", "", "Authorization: Bearer rotated").wants(t, 503, "token")
	for _, path := range []string{"/healthz", "/readyz"} {
		if a := w.ask("GET", path, ""); a.status != 200 {
			t.Errorf("%s: %d", path, a.status)
		}
	}
	if a := w.over(w.local, "GET", "/api/v1/stats", nil); a.status != 200 || a.header.Get("Archiver-State") != "state.db" {
		t.Errorf("over the socket: %d %v", a.status, a.header)
	}
}

func TestHost(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.set(func(p *ports) {
		p.hosts = []string{"archive.example", "Ported.example:8443", "192.0.2.7", "[2001:db8::7]:99", "2001:db8::8"}
	})
	for host, want := range map[string]int{
		"127.0.0.1:8720": 200, "127.0.0.1": 200, "127.9.9.9:1": 200, "[::1]:8720": 200, "localhost:8720": 200, "LOCALHOST.": 200,
		"[::ffff:127.0.0.1]:1": 200,
		"archive.example":      200, "Archive.Example:1234": 200, "archive.example.:80": 200,
		"ported.example:8443": 200, "ported.example": 421, "ported.example:80": 421,
		"192.0.2.7:8720": 200, "192.0.2.7": 200, "[2001:db8::7]:99": 200, "[2001:db8::7]": 421, "[2001:db8::8]:5": 200,
		"evil.example": 421, "evil.example:8720": 421, "127.0.0.1.evil.example": 421, "localhost.evil.example": 421,
		"xarchive.example": 421, "192.0.2.8": 421, "0.0.0.0:8720": 421,
	} {
		a := w.ask("GET", "/readyz", "", "Host: "+host)
		if a.status != want {
			t.Errorf("Host %s: %d, want %d", host, a.status, want)
		}
		if want == 421 {
			a.wants(t, 421, "host")
		}
	}
}

func TestHostOfListenAddress(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, c := range []struct {
		listen, host string
		want         bool
	}{
		{":8720", "localhost:8720", true},
		{":8720", "evil.example", false},
		{"[::]:8720", "127.0.0.1:8720", true},
		{"[::]:8720", "evil.example:8720", false},
		{"192.0.2.1:8720", "192.0.2.1:8720", true},
		{"192.0.2.1:8720", "192.0.2.2:8720", false},
		{"[2001:db8::1]:8720", "[2001:DB8:0::1]:8720", true},
	} {
		if got := w.served(c.listen, c.host); got != c.want {
			t.Errorf("listening on %s, Host %s is served: %v, want %v", c.listen, c.host, got, c.want)
		}
	}
}

func TestCrossOrigin(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	own := "Origin: http://" + w.tcp
	for _, c := range []struct {
		with []string
		want int
	}{
		{nil, 200},
		{[]string{"Sec-Fetch-Site: same-origin"}, 200},
		{[]string{"Sec-Fetch-Site: none"}, 200},
		{[]string{"Sec-Fetch-Site: cross-site"}, 403},
		{[]string{"Sec-Fetch-Site: same-site"}, 403},
		{[]string{own}, 200},
		{[]string{"Origin: http://evil.example"}, 403},
		{[]string{"Origin: null"}, 403},
	} {
		a := w.ask("POST", "/api/v1/recordings", `{"record_ids":["a"]}`, c.with...)
		if a.status != c.want {
			t.Errorf("%v: %d %s, want %d", c.with, a.status, a.body, c.want)
		}
		if c.want == 403 {
			a.wants(t, 403, "cross_origin")
		}
		if a := w.ask("GET", "/api/v1/stats", "", c.with...); a.status != 200 {
			t.Errorf("GET with %v: %d", c.with, a.status)
		}
	}
}
