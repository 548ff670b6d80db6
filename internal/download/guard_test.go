package download

import (
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"archiver/internal/fault"
)

func TestForbidden(t *testing.T) {
	const always, unlessAllowed, never = "always", "unless allowed", "never"
	tests := map[string]string{
		"169.254.169.254":          always,
		"169.254.0.0":              always,
		"169.254.255.255":          always,
		"169.253.255.255":          never,
		"169.255.0.0":              never,
		"fe80::1":                  always,
		"fe80::1%eth0":             always,
		"febf::1":                  always,
		"fec0::1":                  never,
		"fd00:ec2::254":            always,
		"fd00:ec2::253":            never,
		"fd00:ec2::254%eth0":       always,
		"fd20:ce::254":             always,
		"fd00:c1::a9fe:a9fe":       always,
		"100.100.100.200":          always,
		"100.100.100.199":          never,
		"168.63.129.16":            always,
		"168.63.129.17":            never,
		"192.0.0.192":              always,
		"192.0.0.191":              never,
		"0.0.0.0":                  always,
		"0.1.2.3":                  always,
		"::":                       always,
		"224.0.0.1":                always,
		"239.255.255.255":          always,
		"ff02::1":                  always,
		"255.255.255.255":          always,
		"127.0.0.1":                unlessAllowed,
		"127.255.255.254":          unlessAllowed,
		"::1":                      unlessAllowed,
		"::ffff:127.0.0.1":         unlessAllowed,
		"::ffff:169.254.169.254":   always,
		"::ffff:100.100.100.200":   always,
		"::ffff:0.0.0.0":           always,
		"::ffff:10.0.0.1":          never,
		"::127.0.0.1":              always,
		"::169.254.169.254":        always,
		"64:ff9b::169.254.169.254": always,
		"64:ff9b::127.0.0.1":       always,
		"64:ff9b::0.0.0.0":         always,
		"64:ff9b::8.8.8.8":         never,
		"64:ff9b:1::8.8.8.8":       always,
		"64:ff9b:1:fffe::1":        always,
		"64:ff9b:2::1":             never,
		"2002:a9fe:a9fe::1":        always,
		"2001:0:4136:e378::1":      always,
		"2001:4860:4860::8888":     never,
		"10.0.0.1":                 never,
		"172.16.0.1":               never,
		"192.168.1.1":              never,
		"100.64.0.1":               never,
		"fd12:3456::1":             never,
		"8.8.8.8":                  never,
	}
	for text, want := range tests {
		a := netip.MustParseAddr(text)
		got := never
		_, without := forbidden(a, false)
		why, with := forbidden(a, true)
		switch {
		case with:
			got = always
		case without:
			got = unlessAllowed
		}
		if got != want {
			t.Errorf("%s is refused %s (%s), want %s", text, got, why, want)
		}
	}
	if _, bad := forbidden(netip.Addr{}, true); !bad {
		t.Error("the invalid address is allowed")
	}
}

// The dialer has to ask the guard, whatever the address is written like.
func TestDialIsGuarded(t *testing.T) {
	asked := false
	s := serve(t, func(http.ResponseWriter, *http.Request) { asked = true })
	port := s.URL[strings.LastIndexByte(s.URL, ':')+1:]
	tests := []struct {
		url, hint     string
		allowLoopback bool
	}{
		{"http://127.0.0.1:" + port + "/", "allow_loopback", false},
		{"http://localhost:" + port + "/", "allow_loopback", false},
		{"http://[::ffff:127.0.0.1]:" + port + "/", "allow_loopback", false},
		{"http://0.0.0.0:" + port + "/", "download_hosts", true},
		{"http://[::]:" + port + "/", "download_hosts", true},
		{"http://169.254.169.254/latest/meta-data/", "download_hosts", true},
		{"http://[::ffff:169.254.169.254]/", "download_hosts", true},
		{"http://[::ffff:a9fe:a9fe]/", "download_hosts", true},
		{"https://100.100.100.200/", "download_hosts", true},
	}
	if _, err := os.Stat("/proc/net/if_inet6"); err == nil {
		// Without IPv6 no such socket comes into being, and nothing to guard.
		tests = append(tests, tests[7])
		tests[len(tests)-1].url = "http://[64:ff9b::a9fe:a9fe]/"
	}
	for _, tt := range tests {
		c := newClient(t, Options{AllowLoopback: tt.allowLoopback})
		_, err := c.Get(t.Context(), Request{URL: tt.url, Length: 1})
		f := faultOf(t, err, fault.Forbidden)
		if !strings.Contains(f.Hint, tt.hint) {
			t.Errorf("%s: hint %q does not name %s", tt.url, f.Hint, tt.hint)
		}
	}
	if asked {
		t.Error("a refused address was connected to")
	}
}

func TestHosts(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("x")) })
	local := strings.Replace(s.URL, "127.0.0.1", "localhost", 1)
	tests := []struct {
		hosts   []string
		url     string
		allowed bool
	}{
		{nil, s.URL, true},
		{[]string{"127.0.0.1"}, s.URL, true},
		{[]string{"127.0.0.*"}, s.URL, true},
		{[]string{"other", "LocalHost"}, local, true},
		{[]string{"localhost"}, strings.ToUpper(local), true},
		{[]string{"localhost."}, local, true},
		{[]string{"localhost"}, s.URL, false},
		{[]string{"*.localhost"}, local, false},
		{[]string{"local"}, local, false},
	}
	for _, tt := range tests {
		c := newClient(t, Options{Hosts: tt.hosts, AllowLoopback: true})
		_, _, err := fetch(t, c, Request{URL: tt.url + "/a?sign=secret", Whole: true})
		switch {
		case tt.allowed && err != nil:
			t.Errorf("%v refuses %s: %v", tt.hosts, tt.url, err)
		case !tt.allowed:
			if f := faultOf(t, err, fault.Forbidden); !strings.Contains(f.Hint, "download_hosts") {
				t.Errorf("the hint %q does not name download_hosts", f.Hint)
			}
		}
	}
}

func TestNewRefusesBadOptions(t *testing.T) {
	noPEM := filepath.Join(t.TempDir(), "empty.pem")
	if err := os.WriteFile(noPEM, []byte("nothing"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, o := range map[string]Options{
		"download_hosts": {Hosts: []string{"["}},
		`""`:             {Hosts: []string{""}},
		"ca_file":        {CAFile: filepath.Join(t.TempDir(), "missing")},
		"no PEM":         {CAFile: noPEM},
		"proxy":          {Proxy: "socks5://user:hunter2@127.0.0.1:1"},
		"proxy:":         {Proxy: "http://user:hunter2@%zz"},
		"proxy: not":     {Proxy: "127.0.0.1:8080"},
	} {
		_, err := New(o)
		if err == nil {
			t.Errorf("%+v is accepted", o)
			continue
		}
		if !strings.Contains(err.Error(), name) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("error %q: want one that names %s and no password", err, name)
		}
	}
}

func TestProxy(t *testing.T) {
	var lines []string
	proxy := serve(t, func(w http.ResponseWriter, r *http.Request) {
		lines = append(lines, r.Method+" "+r.RequestURI+" "+r.Header.Get("Proxy-Authorization"))
		if r.Method == http.MethodConnect {
			http.Error(w, "no tunnels here", http.StatusForbidden)
			return
		}
		_, _ = w.Write([]byte("by proxy"))
	})
	u, err := url.Parse(proxy.URL)
	if err != nil {
		t.Fatal(err)
	}
	u.User = url.UserPassword("me", "hunter2")
	// The proxy is on loopback, which is no download's business.
	c := newClient(t, Options{Proxy: u.String()})
	const nasty = "/2019//%2F/a.mp4?sign=/aT6y5%2BWq+Z=&b=c;d&%zz&"
	_, got, err := fetch(t, c, Request{URL: "http://10.11.12.13:8080" + nasty, Whole: true})
	if err != nil || got != "by proxy" {
		t.Fatalf("got %q, %v", got, err)
	}
	want := "GET http://10.11.12.13:8080" + nasty + " Basic bWU6aHVudGVyMg=="
	if len(lines) != 1 || lines[0] != want {
		t.Errorf("the proxy saw %q, want %q", lines, want)
	}
	_, _, err = fetch(t, c, Request{URL: "https://10.11.12.13/a?sign=topsecret", Whole: true})
	wantKind(t, err, fault.Temporary)
	if len(lines) != 2 || !strings.HasPrefix(lines[1], "CONNECT 10.11.12.13:443 ") {
		t.Errorf("the proxy saw %q, want a CONNECT at last", lines)
	}
	for _, refused := range []string{"http://169.254.169.254/", "http://localhost/", "https://[fd00:ec2::254]/"} {
		_, _, err = fetch(t, c, Request{URL: refused, Whole: true})
		wantKind(t, err, fault.Forbidden)
	}
	if len(lines) != 2 {
		t.Errorf("a refused address was handed to the proxy: %q", lines[2:])
	}
}

// proxyFor is replaced, because net/http reads the environment once a process:
// a request for which it names no proxy has to be guarded like any other.
func TestProxyBypassIsGuarded(t *testing.T) {
	c := newClient(t, Options{Proxy: "environment"})
	c.proxyFor = func(*http.Request) (*url.URL, error) { return nil, nil }
	s := serve(t, func(http.ResponseWriter, *http.Request) { t.Error("connected") })
	_, _, err := fetch(t, c, Request{URL: s.URL, Whole: true})
	wantKind(t, err, fault.Forbidden)
}

func TestProxyAsksForPassword(t *testing.T) {
	proxy := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "who are you", http.StatusProxyAuthRequired)
	})
	c := newClient(t, Options{Proxy: proxy.URL})
	_, _, err := fetch(t, c, Request{URL: "http://10.11.12.13/a", Whole: true})
	if f := faultOf(t, err, fault.Temporary); !strings.Contains(f.Hint, "proxy") {
		t.Errorf("the hint %q does not name the proxy", f.Hint)
	}
}

// net/http reads the environment once a process, so this test runs itself
// again in one of its own.
func TestProxyFromEnvironment(t *testing.T) {
	const child = "DOWNLOAD_TEST_PROXY_CHILD"
	if os.Getenv(child) != "" {
		c := newClient(t, Options{Proxy: "environment"})
		_, got, err := fetch(t, c, Request{URL: "http://10.11.12.13/a?b", Whole: true})
		if err != nil || got != "by proxy" {
			t.Errorf("got %q, %v", got, err)
		}
		_, _, err = fetch(t, c, Request{URL: "https://10.11.12.13/a?b", Whole: true})
		wantText(t, faultOf(t, err, fault.Temporary), "only http and https proxies")
		if strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%q tells too much", err)
		}
		return
	}
	proxy := serve(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("by proxy")) })
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestProxyFromEnvironment$")
	cmd.Env = append(os.Environ(), child+"=1", "NO_PROXY=", "no_proxy=",
		"HTTP_PROXY="+proxy.URL, "HTTPS_PROXY=socks5://me:hunter2@127.0.0.1:1")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
