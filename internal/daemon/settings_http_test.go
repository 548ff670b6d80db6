package daemon_test

import (
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
)

// served starts the daemon with these keys and returns where its API is.
func served(t *testing.T, set keys) (url string) {
	t.Helper()
	sink, logs := observer.New(zap.InfoLevel)
	w := settled(t, worldOptions{sink: sink})
	set["http.listen"] = "127.0.0.2:0"
	w.runs(w.with(set))
	until(t, "an address", func() bool {
		for _, e := range logs.FilterMessage("API on TCP").All() {
			url, _ = e.ContextMap()["address"].(string)
		}
		return url != ""
	})
	if host, _, err := net.SplitHostPort(url); err != nil || host != "127.0.0.2" {
		t.Fatalf("listening on %s", url)
	}
	return "http://" + url
}

// status is what a call with this Host and token is answered with; "" is the
// address's own, and none.
func status(t *testing.T, url, host, token string) int {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url+"/api/v1/recordings", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Host = host
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	code, _ := fetched(t, &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}, r)
	return code
}

// TestSettingHosts serves who asks by a name that is allowed.
func TestSettingHosts(t *testing.T) {
	url := served(t, keys{"http.allowed_hosts": []string{"archiver.example.com"}})
	for host, want := range map[string]int{"": 200, "archiver.example.com": 200, "evil.example.com": 421} {
		if got := status(t, url, host, ""); got != want {
			t.Errorf("Host %q: %d, want %d", host, got, want)
		}
	}
}

// TestSettingToken asks for the token.
func TestSettingToken(t *testing.T) {
	url := served(t, keys{"http.token": "the-token-of-tests"})
	for token, want := range map[string]int{"": 401, "another": 401, "the-token-of-tests": 200} {
		if got := status(t, url, "", token); got != want {
			t.Errorf("token %q: %d, want %d", token, got, want)
		}
	}
}

// TestSettingTokenFile asks for what the file says now.
func TestSettingTokenFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "token")
	write := func(text string) {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("the-first-token\n")
	url := served(t, keys{"http.token_file": path})
	got := []int{status(t, url, "", "the-first-token"), status(t, url, "", "the-second-token")}
	write("the-second-token\n")
	got = append(got, status(t, url, "", "the-first-token"), status(t, url, "", "the-second-token"))
	if want := []int{200, 401, 401, 200}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

// TestSettingListen serves on TCP where it says; and only the socket, if it
// says "".
func TestSettingListen(t *testing.T) {
	served(t, keys{})
	sink, logs := observer.New(zap.InfoLevel)
	w := newWorld(t, worldOptions{sink: sink, tenantIDs: []string{"one"}})
	w.runs(w.with(keys{"http.listen": ""}))
	w.rounds("one", 1)
	if n := logs.FilterMessage("API on TCP").Len(); n != 0 {
		t.Errorf("listening at %d addresses", n)
	}
}

// TestSettingStatePath keeps the state, and the socket, where it says.
func TestSettingStatePath(t *testing.T) {
	w := settled(t, worldOptions{tenantIDs: []string{"one"}})
	dir := filepath.Join(w.dir, "elsewhere")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	w.runs(w.with(keys{"state.path": filepath.Join(dir, "x.db")}))
	w.rounds("one", 1)
	for name, want := range map[string]bool{"elsewhere/x.db": true, "elsewhere/archiver.sock": true, "state.db": false, "archiver.sock": false} {
		if _, err := os.Lstat(filepath.Join(w.dir, name)); (err == nil) != want {
			t.Errorf("%s: %v", name, err)
		}
	}
}
