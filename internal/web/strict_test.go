package web_test

import "testing"

// TestStrict: what is not meant is not done, and said as a problem.
func TestStrict(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for path, want := range map[string]struct {
		status int
		code   string
	}{
		"//api/v1/stats":                       {404, "not_found"},
		"/api/v1/../v1/stats":                  {404, "not_found"},
		"/api/v1/./stats":                      {404, "not_found"},
		"/api/v1/recordings?tennant=acme":      {422, "unprocessable_entity"},
		"/api/v1/recordings?limit=5&status=no": {422, "invalid"},
	} {
		w.ask("GET", path, "").wants(t, want.status, want.code)
	}
	for _, path := range []string{"?dry_run", "?all", "?all=true&dry_run=", "?all=true&tenant=acme", "?dryrun=true&all=true"} {
		a := w.ask("POST", "/api/v1/backfill"+path, "")
		if a.status != 422 {
			t.Errorf("%s: %d", path, a.status)
		}
	}
	w.over(w.local, "GET", "/api/v1/stats", nil, "Archiver-State: another.db").wants(t, 421, "other_state")
	if a := w.over(w.local, "GET", "/api/v1/stats", nil, "Archiver-State: state.db"); a.status != 200 {
		t.Errorf("its own state is refused: %d %s", a.status, a.body)
	}
}
