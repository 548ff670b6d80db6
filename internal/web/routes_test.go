package web_test

import (
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"

	"archiver/internal/apitype"
	"archiver/internal/state"
)

// document is what the tests look at in /openapi.json.
type document struct {
	OpenAPI string `json:"openapi"`
	Paths   map[string]map[string]struct {
		Responses map[string]struct {
			Content map[string]struct {
				Schema json.RawMessage `json:"schema"`
			} `json:"content"`
		} `json:"responses"`
	} `json:"paths"`
	Components struct {
		Schemas map[string]schema `json:"schemas"`
	} `json:"components"`
}

type schema struct {
	Required             []string            `json:"required"`
	Properties           map[string]property `json:"properties"`
	AdditionalProperties *bool               `json:"additionalProperties"`
}

type property struct {
	Type  any `json:"type"`
	Items struct {
		Ref string `json:"$ref"`
	} `json:"items"`
}

func TestRoutes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	doc := into[document](t, w.ask("GET", "/openapi.json", ""))
	if !strings.HasPrefix(doc.OpenAPI, "3.1") {
		t.Errorf("OpenAPI %s", doc.OpenAPI)
	}
	const one, conference = "/api/v1/recordings/{tenant}/{record_id}", "/api/v1/conferences/{tenant}/{conference_key}"
	in := strings.NewReplacer("{tenant}", "acme", "{record_id}", "r", "{conference_key}", "c", "{file_id}", "f")
	listed := 0
	for _, c := range []struct {
		method, path, body string
		want               int
	}{
		{"GET", "/api/v1/recordings", "", 200},
		{"POST", "/api/v1/recordings", `{"record_ids":["new"]}`, 200},
		{"GET", one, "", 200},
		{"POST", one + "/retry", "", 409},
		{"POST", one + "/accept", "", 200},
		{"POST", one + "/verify", "", 200},
		{"PUT", one + "/hold", "", 200},
		{"DELETE", one + "/hold", "", 200},
		{"GET", one + "/files/{file_id}/link", "", 200},
		{"GET", one + "/files/{file_id}/content", "", 200},
		{"HEAD", one + "/files/{file_id}/content", "", 200},
		{"DELETE", one, "", 204},
		{"POST", conference + "/record", "", 200},
		{"DELETE", conference + "/record", "", 200},
		{"POST", conference + "/live", "", 200},
		{"DELETE", conference + "/live", "", 200},
		{"GET", "/api/v1/conferences", "", 200},
		{"POST", "/api/v1/backfill", `"r"`, 200},
		{"GET", "/api/v1/stats", "", 200},
		{"GET", "/api/v1/state/backup", "", 200},
		{"GET", "/api/v1/state/check", "", 200},
		{"GET", "/metrics", "", 200},
		{"GET", "/healthz", "", 200},
		{"GET", "/readyz", "", 200},
	} {
		if c.path == "/api/v1/recordings" && c.method == "GET" {
			w.archive(state.Key{Tenant: "acme", RecordID: "r"}, "f", "content")
		}
		a := w.ask(c.method, in.Replace(c.path), c.body)
		if a.status != c.want || a.err != nil {
			t.Errorf("%s %s: %d %s %v, want %d", c.method, c.path, a.status, a.body, a.err, c.want)
		}
		if strings.Contains(a.body, "$schema") || strings.Contains(a.header.Get("Link"), "describedBy") {
			t.Errorf("%s %s speaks of a schema: %s %s", c.method, c.path, a.header.Get("Link"), a.body)
		}
		op, ok := doc.Paths[c.path][strings.ToLower(c.method)]
		if _, documented := op.Responses[strconv.Itoa(c.want)]; !ok || !documented {
			t.Errorf("%s %s: %d is not in /openapi.json", c.method, c.path, c.want)
		}
		listed++
	}
	n := 0
	for _, ops := range doc.Paths {
		n += len(ops)
	}
	if n != listed {
		t.Errorf("/openapi.json lists %d calls, %d are tried here", n, listed)
	}
}

func TestSchemas(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.archive(state.Key{Tenant: "acme", RecordID: "r"}, "f", "content")
	schemas := into[document](t, w.ask("GET", "/openapi.json", "")).Components.Schemas
	detail := w.ask("GET", "/api/v1/recordings/acme/r", "")
	var told map[string]any
	if err := json.Unmarshal([]byte(detail.body), &told); err != nil {
		t.Fatal(err)
	}
	for name, answer := range map[string]map[string]any{"Detail": told, "FileDetail": told["files"].([]any)[0].(map[string]any)} {
		for k := range answer {
			if _, ok := schemas[name].Properties[k]; !ok {
				t.Errorf("%s.%s is answered and not described", name, k)
			}
		}
		for _, k := range schemas[name].Required {
			if _, ok := answer[k]; !ok {
				t.Errorf("%s.%s is required and not answered", name, k)
			}
		}
		if len(schemas[name].Required) < 10 {
			t.Errorf("%s requires only %v", name, schemas[name].Required)
		}
	}
	if f := schemas["Detail"].Properties["files"]; f.Type != "array" || f.Items.Ref != "#/components/schemas/FileDetail" {
		t.Errorf("Detail.files is described as %v", f)
	}
	for name, s := range schemas {
		if s.AdditionalProperties != nil && !*s.AdditionalProperties {
			t.Errorf("%s forbids fields that may come later", name)
		}
		for field, p := range s.Properties {
			if types, ok := p.Type.([]any); ok && slices.Contains(types, any("array")) {
				t.Errorf("%s.%s may be null", name, field)
			}
		}
	}
}

func TestEmptyListsAreNotNull(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for path, want := range map[string]string{
		"/api/v1/recordings":  `{"items":[],"next_cursor":""}`,
		"/api/v1/conferences": `{"items":[]}`,
		"/api/v1/state/check": `{"ok":true,"problems":[]}`,
		"/readyz":             `{"status":"ok","reasons":[]}`,
	} {
		if got := strings.TrimSpace(w.ask("GET", path, "").body); got != want {
			t.Errorf("%s: %s, want %s", path, got, want)
		}
	}
	if got := strings.TrimSpace(w.ask("POST", "/api/v1/recordings", `{"record_ids":[]}`).body); got != `{"tracked":[],"already":[],"invalid":[]}` {
		t.Errorf("tracked nothing: %s", got)
	}
}

func TestUnknownPathsAndMethods(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.ask("GET", "/nothing", "").wants(t, 404, "not_found")
	w.ask("GET", "/api/v1/recordings/acme/", "").wants(t, 404, "not_found")
	for path, want := range map[string]string{
		"/api/v1/recordings":             "GET, HEAD, POST",
		"/api/v1/recordings/acme/r":      "GET, HEAD, DELETE",
		"/api/v1/recordings/acme/r/hold": "PUT, DELETE",
		"/api/v1/stats":                  "GET, HEAD",
		"/healthz":                       "GET, HEAD",
	} {
		a := w.ask("PATCH", path, "")
		a.wants(t, 405, "method_not_allowed")
		if got := a.header.Get("Allow"); got != want {
			t.Errorf("%s: Allow: %s, want %s", path, got, want)
		}
	}
}

func TestHealth(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.set(func(p *ports) {
		p.health = apitype.Health{Status: apitype.HealthDegraded, Reasons: []string{"a tenant"}}
	})
	if a := w.ask("GET", "/readyz", ""); a.status != 200 || !strings.Contains(a.body, "a tenant") {
		t.Errorf("degraded: %d %s", a.status, a.body)
	}
	w.set(func(p *ports) {
		p.health = apitype.Health{Status: apitype.HealthUnavailable, Reasons: []string{"state"}}
	})
	if a := w.ask("GET", "/readyz", ""); a.status != 503 || a.header.Get("Content-Type") != "application/json" {
		t.Errorf("unavailable: %d %s", a.status, a.body)
	}
	w.set(func(p *ports) { p.alive = http.ErrServerClosed })
	w.ask("GET", "/healthz", "").wants(t, 503, "dead")
}

// TestStoppingStore: a store that was closed is a matter of time, not of a fault.
func TestStoppingStore(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	if err := w.store.Close(); err != nil {
		t.Fatal(err)
	}
	w.ask("GET", "/api/v1/recordings", "").wants(t, 503, "stopped")
	w.ask("GET", "/api/v1/recordings?cursor=AAAAAAAAAAAA", "").wants(t, 503, "stopped")
	w.ask("POST", "/api/v1/recordings", `{"record_ids":["a"]}`).wants(t, 503, "stopped")
	w.ask("POST", "/api/v1/recordings", `"a"`, "Content-Type: application/x-ndjson").wants(t, 503, "stopped")
	w.ask("GET", "/api/v1/state/backup", "").wants(t, 503, "stopped")
}
