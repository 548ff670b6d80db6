package daemon_test

import (
	"testing"
	"time"

	"archiver/internal/sandbox/tlscert"
	"archiver/internal/sandbox/vendorsim"
	"archiver/internal/state"
)

// TestSettingOrigin arrives with every getRecords.
func TestSettingOrigin(t *testing.T) {
	w := settled(t, worldOptions{})
	w.mustArchive(w.with(keys{"tenants.acme.origin": "https://meet.example.com"}))
	for _, c := range w.vendor.CallsOf("getRecords") {
		if c.Origin != "https://meet.example.com" {
			t.Errorf("origin %q", c.Origin)
		}
	}
}

// TestSettingTimes reads the vendor's times in their zone and knows how long
// files are kept.
func TestSettingTimes(t *testing.T) {
	w := settled(t, worldOptions{vendor: vendorsim.Options{Zone: time.FixedZone("CST", 8*60*60)}})
	r := w.mustArchive(w.with(keys{"tenants.acme.timezone": "Asia/Shanghai", "tenants.acme.source_retention": "30d"}))
	f := r.Files[0]
	if !f.StartTime.Equal(begun) {
		t.Errorf("it began at %s, want %s", f.StartTime, begun)
	}
	if want := begun.Add(14*time.Second + 30*24*time.Hour); !f.Deadline.Equal(want) {
		t.Errorf("deadline %s, want %s", f.Deadline, want)
	}
}

// TestSettingRecordIDs tracks what is listed in either place, and what is
// added to the file later.
func TestSettingRecordIDs(t *testing.T) {
	w := settled(t, worldOptions{})
	w.recording("two", 1000)
	w.recording("three", 1000)
	d := w.with(keys{"tenants.acme.record_ids": []string{"one"}, "tenants.acme.record_ids_file": w.file("ids", "two\n")})
	w.runs(d)
	w.becomes(d, "one", state.Archived)
	w.becomes(d, "two", state.Archived)
	w.file("ids", "two\nthree\n")
	w.becomes(d, "three", state.Archived)
}

// TestSettingAPIRate allows one call in a quarter of an hour: after the first
// one nothing more is asked, whatever another tenant does.
func TestSettingAPIRate(t *testing.T) {
	w := settled(t, worldOptions{vendor: twoTenants()})
	w.second("")
	w.recordingOf("beta", "other")
	w.recording("two", 1000)
	d := w.with(keys{
		"tenants.acme.api_rate": 0.001, "tenants.acme.record_ids": []string{"one", "two"}, "tenants.beta.record_ids": []string{"other"},
	})
	w.runs(d)
	w.rounds("other", 2)
	if n := w.asked("one") + w.asked("two"); n != 1 {
		t.Errorf("%d calls, want 1", n)
	}
}

// TestSettingAuth gives the key in each of the ways that there are.
func TestSettingAuth(t *testing.T) {
	for name, set := range map[string]func(w *world) keys{
		"auth":      func(*world) keys { return keys{"tenants.acme.auth": "who:what"} },
		"auth_file": func(w *world) keys { return keys{"tenants.acme.auth_file": w.file("auth", "who:what\n")} },
		"format": func(*world) keys {
			return keys{"tenants.acme.api_id": "who", "tenants.acme.api_key": "what", "tenants.acme.auth_format": "{api_id}:{api_key}"}
		},
		"format of files": func(w *world) keys {
			return keys{
				"tenants.acme.api_id_file": w.file("id", "who\n"), "tenants.acme.api_key_file": w.file("key", "what\n"),
				"tenants.acme.auth_format": "{api_id}:{api_key}",
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := settled(t, worldOptions{vendor: vendorsim.Options{Tenants: map[string]string{"acme": "who:what"}}})
			all := set(w)
			if name != "auth" {
				all["tenants.acme.auth"] = nil
			}
			w.mustArchive(w.with(all))
		})
	}
}

// TestSettingRotatedAuth writes the right key into the file of a tenant that
// the vendor refuses.
func TestSettingRotatedAuth(t *testing.T) {
	w := settled(t, worldOptions{tenantIDs: []string{"one"}})
	d := w.with(keys{"tenants.acme.auth": nil, "tenants.acme.auth_file": w.file("auth", "an old key\n")})
	w.runs(d)
	w.rounds("one", 2)
	if r := w.get(d, "one"); r.Status != state.Waiting {
		t.Errorf("%s with a wrong key", r.Status)
	}
	w.file("auth", authKey+"\n")
	w.becomes(d, "one", state.Archived)
}

// TestSettingCAFile trusts a private vendor, its downloads too.
func TestSettingCAFile(t *testing.T) {
	pair, err := tlscert.New(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	w := settled(t, worldOptions{vendor: vendorsim.Options{TLS: pair.Server}})
	w.mustArchive(w.with(keys{"tenants.acme.ca_file": w.file("ca.pem", string(pair.CAPEM))}))
}

// TestSettingProxy goes to the vendor and for the files through the proxy.
func TestSettingProxy(t *testing.T) {
	w := settled(t, worldOptions{})
	p := tap(t, forward(), nil)
	w.mustArchive(w.with(keys{"tenants.acme.proxy": p.URL, "tenants.acme.download_hosts": []string{"127.0.0.1"}}))
	for method, part := range map[string]string{"POST": "/meeting/getRecords", "GET": ".mp4"} {
		if len(p.of(method, part)) == 0 {
			t.Errorf("the proxy was not asked for %s", part)
		}
	}
	if n, all := len(p.of("POST", "/"))+len(p.of("GET", "/")), len(w.vendor.Calls()); n != all {
		t.Errorf("%d of %d calls went through the proxy", n, all)
	}
}
