package web_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"archiver/internal/apitype"
	"archiver/internal/state"
)

const ndjson = "Content-Type: application/x-ndjson"

func TestImportJSON(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.track(state.Key{Tenant: "acme", RecordID: "old"})
	got := into[apitype.Tracked](t, w.ask("POST", "/api/v1/recordings", `{"record_ids":["new","old","new","","a\u0000","\ud800"]}`, "Content-Type: application/json; charset=utf-8"))
	if d := cmp.Diff([]string{"new"}, got.Tracked); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff([]string{"old", "new"}, got.Already); d != "" {
		t.Error(d)
	}
	if len(got.Invalid) != 3 {
		t.Errorf("invalid: %+v", got.Invalid)
	}
	if w.ports.woken != 1 {
		t.Errorf("woken %d times", w.ports.woken)
	}
	for body, code := range map[string]string{`{"record_id":"a"}`: "invalid", `{}`: "invalid", `null`: "invalid"} {
		w.ask("POST", "/api/v1/recordings", body).wants(t, 422, code)
	}
	for _, body := range []string{``, `[`, `["a"]`, `{"record_ids":"a"}`, `{"record_ids":["a"]} x`} {
		w.ask("POST", "/api/v1/recordings", body).wants(t, 400, "invalid")
	}
	for _, form := range []string{"text/plain", "application/x-www-form-urlencoded", "application/json;;", "x"} {
		w.ask("POST", "/api/v1/recordings", `{"record_ids":["a"]}`, "Content-Type: "+form).wants(t, 415, "media_type")
	}
	big := `{"record_ids":["` + strings.Repeat("x", 1<<20) + `"]}`
	w.ask("POST", "/api/v1/recordings", big).wants(t, 413, "too_large")
	exact := `{"record_ids":["a"]}`
	if a := w.ask("POST", "/api/v1/recordings", exact+strings.Repeat(" ", 1<<20-len(exact))); a.status != 200 {
		t.Errorf("1 MiB: %d %s", a.status, a.body)
	}
}

func TestImportNDJSON(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	body := strings.Join([]string{
		"\ufeff" + `{"record_id":"with mark"}`, `"bare"` + "\r", "", "  ", `{"record_id":`, `{"record_id":"x","tenant":"nobody"}`, "null", "[1]", "7",
		`"` + strings.Repeat("y", 70<<10) + `"`, "\"a\xffb\"", `{"record_id":"last"}`,
	}, "\n")
	got := into[apitype.Tracked](t, w.ask("POST", "/api/v1/recordings", body, ndjson))
	if d := cmp.Diff([]string{"with mark", "bare", "last"}, got.Tracked); d != "" {
		t.Error(d)
	}
	var lines []int
	for _, i := range got.Invalid {
		lines = append(lines, i.Line)
	}
	if d := cmp.Diff([]int{5, 6, 7, 8, 9, 10, 11}, lines); d != "" {
		t.Error(d)
	}
}

func TestImportForSeveralTenants(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.ports.tenants = []string{"acme", "beta"}
	body := `{"record_id":"a","tenant":"beta"}` + "\n" + `"b"`
	if got := into[apitype.Tracked](t, w.ask("POST", "/api/v1/recordings", body, ndjson)); len(got.Tracked) != 1 || len(got.Invalid) != 1 {
		t.Errorf("%+v", got)
	}
	if got := into[apitype.Tracked](t, w.ask("POST", "/api/v1/recordings?tenant=acme", body, ndjson)); len(got.Tracked) != 1 || len(got.Already) != 1 {
		t.Errorf("%+v", got)
	}
	if _, err := w.store.Get(t.Context(), state.Key{Tenant: "acme", RecordID: "b"}); err != nil {
		t.Error(err)
	}
	if got := into[apitype.Tracked](t, w.ask("POST", "/api/v1/recordings", `{"record_ids":["c"]}`)); len(got.Invalid) != 1 || len(got.Tracked) != 0 {
		t.Errorf("%+v", got)
	}
}

// TestImportBrokenOff: what was read before the connection broke is tracked,
// but not the half of an id.
func TestImportBrokenOff(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	conn, err := net.Dial("tcp", w.tcp)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	var list strings.Builder
	list.WriteString("POST /api/v1/recordings HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-ndjson\r\nContent-Length: 99999\r\n\r\n")
	for i := range 1500 {
		fmt.Fprintf(&list, "\"r%d\"\n", i)
	}
	list.WriteString(`"half`)
	if _, err := io.WriteString(conn, list.String()); err != nil {
		t.Fatal(err)
	}
	if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	answer{status: resp.StatusCode, header: resp.Header, body: string(b)}.wants(t, 400, "broken_off")
	totals, err := w.store.Totals(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if n := totals["acme"].Recordings[state.Waiting]; n != 1500 {
		t.Errorf("%d are tracked, want 1500", n)
	}
}
