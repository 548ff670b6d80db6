package daemon

import (
	"context"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/zap"

	"archiver/internal/config"
)

// TestKeepFixed: who may call an address stays with the address until it
// changes, which needs a restart.
func TestKeepFixed(t *testing.T) {
	t.Parallel()
	load := func(text string) *config.Config {
		t.Helper()
		path := filepath.Join(t.TempDir(), "archiver.yaml")
		text = "tenants: {acme: {api_url: \"https://a.example\", auth: x}}\nstorage: {bucket: recordings}\n" + text
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		cfg, err := config.Load(path, os.LookupEnv)
		if err != nil {
			t.Fatal(err)
		}
		return cfg
	}
	open := load("http: {listen: \"0.0.0.0:1\", token: abc, allowed_hosts: [a.example]}\n")
	for text, want := range map[string]struct {
		restart []string
		token   string
		works   bool
	}{
		"http: {listen: \"127.0.0.1:1\"}\n":              {[]string{"http.allowed_hosts", "http.listen", "http.token"}, "abc", false},
		"http: {listen: \"0.0.0.0:1\", token: new}\n":    {nil, "new", false},
		"http: {listen: \"0.0.0.0:2\", token: abc}\n":    {[]string{"http.allowed_hosts", "http.listen"}, "abc", false},
		"http: {listen: \"\"}\nlog: {level: debug}\n":    {[]string{"http.allowed_hosts", "http.listen", "http.token"}, "abc", false},
		"http: {listen: \"\"}\npoll: {settle: 1m}\n":     {[]string{"http.allowed_hosts", "http.listen", "http.token"}, "abc", true},
		"http: {listen: \"\"}\nlog: {format: console}\n": {[]string{"http.allowed_hosts", "http.listen", "http.token", "log.format"}, "abc", false},
	} {
		cfg := load(text)
		diff, err := config.Diff(open, cfg)
		if err != nil {
			t.Fatal(err)
		}
		next, restart := keepFixed(open, cfg, diff)
		if token, err := next.HTTP.Token.Reveal(); err != nil || token != want.token {
			t.Errorf("%q: token %q, %v", text, token, err)
		}
		if d := cmp.Diff(want.restart, restart); d != "" {
			t.Errorf("%q: keys that need a restart (-want +got):\n%s", text, d)
		}
		counts, err := config.Diff(open, next)
		if err != nil {
			t.Fatal(err)
		}
		works := false
		for _, c := range counts {
			works = works || needsWorks(c)
		}
		if works != want.works {
			t.Errorf("%q: new works %v, because of %v", text, works, counts)
		}
	}
}

// TestListenerFails: the others are served until the run ends, and it ends.
func TestListenerFails(t *testing.T) {
	t.Parallel()
	listen := func() net.Listener {
		l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	good, bad := listen(), listen()
	if err := bad.Close(); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	err := serveAll(ctx, []server{{good, http.NotFoundHandler()}, {bad, http.NotFoundHandler()}}, zap.NewNop(), stop)
	if err == nil || !strings.Contains(err.Error(), "serve the API on "+bad.Addr().String()) {
		t.Errorf("it ends with %v", err)
	}
}
