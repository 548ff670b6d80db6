package web_test

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"

	"archiver/internal/apitype"
	"archiver/internal/state"
)

// at is where a recording lies in the API, whatever its id is.
func at(id string) string {
	return "/api/v1/recordings/acme/" + strings.ReplaceAll(url.PathEscape(id), ".", "%2E")
}

func TestListIsRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for query, code := range map[string]string{
		"limit=0": "unprocessable_entity", "limit=1001": "unprocessable_entity", "limit=-1": "unprocessable_entity",
		"limit=x": "unprocessable_entity", "limit=99999999999999999999": "unprocessable_entity",
		"cursor=x": "invalid", "cursor=%00": "invalid", "cursor=AAAA": "invalid",
		"status=gone": "invalid", "status=archived,gone": "invalid",
		"since=yesterday": "invalid", "until=2026-05-31": "invalid", "since=2026-05-31T01:43:09+02:00": "invalid", // the + is a space
	} {
		w.ask("GET", "/api/v1/recordings?"+query, "").wants(t, 422, code)
	}
}

func TestListPages(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var want, got []string
	for i := range 7 {
		id := fmt.Sprintf("r%d", i)
		w.track(state.Key{Tenant: "acme", RecordID: id})
		want = append(want, id)
	}
	cursor, pages := "", 0
	for {
		p := into[apitype.Page](t, w.ask("GET", "/api/v1/recordings?limit=3&status=waiting&status=archived,deleting&tenant=acme&cursor="+cursor, ""))
		for _, r := range p.Items {
			got = append(got, r.RecordID)
		}
		pages++
		if cursor = p.NextCursor; cursor == "" {
			break
		}
	}
	slices.Sort(got)
	if pages != 3 || !slices.Equal(got, want) {
		t.Errorf("%d pages with %v", pages, got)
	}
	for query, n := range map[string]int{"status=archived": 0, "q=R3": 1, "tenant=other": 0, "since=2099-01-01T00:00:00Z": 0, "until=2099-01-01T00:00:00Z": 7, "limit=1000": 7} {
		if p := into[apitype.Page](t, w.ask("GET", "/api/v1/recordings?"+query, "")); len(p.Items) != n {
			t.Errorf("%s: %d recordings, want %d", query, len(p.Items), n)
		}
	}
}

// TestAnyID: a recordId is opaque, so each has to survive its way through a path.
func TestAnyID(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, id := range []string{
		"a/b", "/a", "a/", "//", "..", ".", "../..", "a/../b", "%", "%2F", "%2e%2e", "+", "a+b", " ", "a b", "é", "会议", "😀", `"`, "'", "a?b=c", "#", ";", "\\", "a&b", "{x}",
	} {
		w.track(state.Key{Tenant: "acme", RecordID: id})
		if d := into[apitype.Detail](t, w.ask("GET", at(id), "")); d.RecordID != id || len(d.Events) != 1 {
			t.Errorf("%q: got %q", id, d.RecordID)
		}
		if r := into[apitype.Recording](t, w.ask("PUT", at(id)+"/hold", "")); r.RecordID != id || !r.Hold {
			t.Errorf("hold %q: %+v", id, r)
		}
		into[apitype.Recording](t, w.ask("DELETE", at(id)+"/hold", ""))
		if a := w.ask("DELETE", at(id), ""); a.status != 204 || a.body != "" {
			t.Errorf("untrack %q: %d %s", id, a.status, a.body)
		}
	}
	for _, id := range []string{"\x00", "a\nb", "\x7f", "\u0085", "\xff", strings.Repeat("x", 65)} {
		for _, call := range [][2]string{{"GET", ""}, {"DELETE", ""}, {"POST", "/retry"}, {"POST", "/verify"}, {"GET", "/files/f/link"}, {"GET", "/files/f/content"}} {
			w.ask(call[0], at(id)+call[1], "").wants(t, 422, "invalid")
		}
	}
	long := "/api/v1/recordings/" + strings.Repeat("t", 300) + "/r"
	for _, call := range [][2]string{{"GET", ""}, {"DELETE", ""}, {"POST", "/retry"}, {"PUT", "/hold"}} {
		if a := w.ask(call[0], long+call[1], ""); a.status < 400 || a.status > 499 {
			t.Errorf("%s of a tenant that cannot be: %d %s", call, a.status, a.body)
		}
	}
}

func TestNotTracked(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, call := range [][2]string{
		{"GET", ""},
		{"DELETE", ""},
		{"POST", "/retry"},
		{"POST", "/accept"},
		{"POST", "/verify"},
		{"PUT", "/hold"},
		{"DELETE", "/hold"},
		{"GET", "/files/f/link"},
		{"GET", "/files/f/content"},
	} {
		a := w.ask(call[0], at("nobody")+call[1], "")
		a.wants(t, 404, "not_tracked")
		if !strings.Contains(a.body, "acme/nobody") {
			t.Errorf("%s does not say which: %s", call, a.body)
		}
	}
}

func TestUntrack(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	k := state.Key{Tenant: "acme", RecordID: "r"}
	w.track(k)
	w.set(func(p *ports) { p.listed[k] = "/etc/archiver/ids:7" })
	a := w.ask("DELETE", at("r"), "")
	a.wants(t, 409, "listed")
	if !strings.Contains(a.body, "/etc/archiver/ids:7") {
		t.Errorf("does not say where: %s", a.body)
	}
	w.set(func(p *ports) { p.listErr = fmt.Errorf("open /etc/archiver/ids: permission denied") })
	w.ask("DELETE", at("r"), "").wants(t, 500, "internal")
	w.set(func(p *ports) { clear(p.listed); p.listErr = nil })
	w.ask("PUT", at("r")+"/hold", "")
	w.ask("DELETE", at("r"), "").wants(t, 409, "illegal")
	w.ask("DELETE", at("r")+"/hold", "")
	if a := w.ask("DELETE", at("r"), ""); a.status != 204 {
		t.Errorf("%d %s", a.status, a.body)
	}
	w.ask("GET", at("r"), "").wants(t, 404, "not_tracked")
	w.ask("DELETE", at("r"), "").wants(t, 404, "not_tracked")
}

func TestMovesThatDoNotFit(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.track(state.Key{Tenant: "acme", RecordID: "waits"})
	if r := into[apitype.Recording](t, w.ask("POST", at("waits")+"/retry", "")); r.Status != "waiting" {
		t.Errorf("retry of what waits: %+v", r)
	}
	if r := into[apitype.Recording](t, w.ask("POST", at("waits")+"/accept", "")); r.Status != "waiting" {
		t.Errorf("accept without a mark: %+v", r)
	}
	w.warrant(w.archive(state.Key{Tenant: "acme", RecordID: "goes"}, "f", "content"))
	w.ask("PUT", at("goes")+"/hold", "").wants(t, 409, "illegal")
	w.ask("POST", at("goes")+"/retry", "").wants(t, 409, "illegal")
	w.ask("DELETE", at("goes"), "").wants(t, 409, "illegal")
	w.update(state.Key{Tenant: "acme", RecordID: "set aside"}, state.Track{}, state.Quarantine{Reason: state.NeverProduced, Detail: "d"})
	before := w.ports.woken
	if r := into[apitype.Recording](t, w.ask("POST", at("set aside")+"/retry", "")); r.Status != "waiting" || w.ports.woken == before {
		t.Errorf("retry: %+v, woken %d times", r, w.ports.woken-before)
	}
}
