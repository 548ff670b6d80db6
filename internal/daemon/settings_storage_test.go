package daemon_test

import (
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/google/go-cmp/cmp"

	"archiver/internal/apitype"
	"archiver/internal/daemon"
	"archiver/internal/sandbox/s3server"
	"archiver/internal/sandbox/tlscert"
	"archiver/internal/state"
)

// ask makes a call to the daemon's API.
func ask(t *testing.T, d *daemon.Daemon, path string, out any) {
	t.Helper()
	rec := httptest.NewRecorder()
	d.Handler().ServeHTTP(rec, httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil))
	if err := json.Unmarshal(rec.Body.Bytes(), out); rec.Code != http.StatusOK || err != nil {
		t.Fatalf("%s: %d %s %v", path, rec.Code, rec.Body, err)
	}
}

// into is a configuration that stores in a stub.
func into(s *wire, more keys) keys {
	set := keys{"storage.endpoint": s.URL, "storage.bucket": "stub"}
	maps.Copy(set, more)
	return set
}

// mustArchive lets the daemon archive "one".
func (w *world) mustArchive(d *daemon.Daemon) state.Recording {
	w.t.Helper()
	w.backfill(d, "one")
	r := w.get(d, "one")
	if r.Status != state.Archived {
		w.t.Fatalf("%s %s %s %+v", r.Status, r.Reason, r.Detail, r.Files)
	}
	return r
}

// TestSettingsOfObjects looks at what is asked of the store for each object.
func TestSettingsOfObjects(t *testing.T) {
	w := settled(t, worldOptions{})
	s := stub(t, nil)
	w.mustArchive(w.with(into(s, keys{
		"storage.region": "cn-north-1", "storage.access_key_id": "who", "storage.storage_class": "STANDARD_IA",
		"storage.sse": "aws:kms", "storage.sse_kms_key_id": "key-1", "storage.tags": map[string]string{"department": "legal"},
		"storage.object_lock": map[string]any{"mode": "governance", "days": 30},
	})))
	put := s.of("PUT", "/one/")
	if len(put) != 1 || !strings.HasPrefix(put[0].URL.Path, "/stub/") || !strings.HasSuffix(put[0].URL.Path, ".mp4") {
		t.Fatalf("%d objects were put", len(put))
	}
	until := put[0].Header.Get("X-Amz-Object-Lock-Retain-Until-Date")
	at, err := time.Parse(time.RFC3339, until)
	if days := time.Until(at).Hours() / 24; err != nil || days < 29.9 || days > 30.1 {
		t.Errorf("locked until %s, want 30 days", until)
	}
	want := map[string]string{
		"X-Amz-Storage-Class": "STANDARD_IA", "X-Amz-Server-Side-Encryption": "aws:kms",
		"X-Amz-Server-Side-Encryption-Aws-Kms-Key-Id": "key-1", "X-Amz-Tagging": "department=legal", "X-Amz-Object-Lock-Mode": "GOVERNANCE",
	}
	if diff := cmp.Diff(want, headers(put[0], "X-Amz-Storage-Class", "X-Amz-Server-Side-Encryption",
		"X-Amz-Server-Side-Encryption-Aws-Kms-Key-Id", "X-Amz-Tagging", "X-Amz-Object-Lock-Mode")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if id, region := credential(put[0]); id != "who" || region != "cn-north-1" {
		t.Errorf("signed by %q for %q", id, region)
	}
}

// TestSettingStorageProxy reaches a host that only the proxy knows, and, as
// storage.path_style is off, with the bucket in its name.
func TestSettingStorageProxy(t *testing.T) {
	w := settled(t, worldOptions{})
	s := stub(t, nil)
	w.mustArchive(w.with(keys{
		"storage.endpoint": "http://s3.test", "storage.bucket": "stub", "storage.path_style": false, "storage.proxy": s.URL,
	}))
	put := s.of("PUT", "/one/")
	if len(put) != 1 || put[0].Host != "stub.s3.test" || strings.HasPrefix(put[0].URL.Path, "/stub/") {
		t.Errorf("objects put: %+v", put)
	}
}

// TestSettingStorageCAFile trusts a private store, and only with its CA.
func TestSettingStorageCAFile(t *testing.T) {
	w := settled(t, worldOptions{})
	pair, err := tlscert.New(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	s := stub(t, pair.Server)
	w.mustArchive(w.with(into(s, keys{"storage.ca_file": w.file("ca.pem", string(pair.CAPEM))})))
}

// TestSettingPublicEndpoint shows in links for people, and nowhere else.
func TestSettingPublicEndpoint(t *testing.T) {
	w := settled(t, worldOptions{})
	d := w.with(keys{"storage.public_endpoint": "https://files.example.com"})
	r := w.mustArchive(d)
	var link apitype.Link
	ask(t, d, "/api/v1/recordings/acme/one/files/"+r.Files[0].ID+"/link", &link)
	u, err := url.Parse(link.URL)
	if err != nil || u.Scheme != "https" || u.Host != "files.example.com" || u.Path != "/"+w.bucket+"/"+r.Files[0].Key {
		t.Errorf("the link leads to %s://%s%s (%v)", u.Scheme, u.Host, u.Path, err)
	}
}

// TestSettingKeys signs with the keys: the store itself checks them, the proxy
// before it does not.
func TestSettingKeys(t *testing.T) {
	w := settled(t, worldOptions{})
	access, secret := store.Keys()
	w.mustArchive(w.with(keys{
		"storage.endpoint": store.Endpoint(), "storage.access_key_id": access, "storage.secret_access_key": secret,
	}))
}

// TestSettingRotatedKeys writes the right keys into the files, one after the
// other, while the store refuses those that were there.
func TestSettingRotatedKeys(t *testing.T) {
	w := settled(t, worldOptions{tenantIDs: []string{"one"}})
	access, secret := store.Keys()
	s := tap(t, before(t, store.Endpoint()), nil)
	d := w.with(keys{
		"storage.endpoint": s.URL, "storage.access_key_id": nil, "storage.secret_access_key": nil,
		"storage.access_key_id_file":     w.file("id", "nobody\n"),
		"storage.secret_access_key_file": w.file("secret", "nothing\n"),
	})
	w.runs(d)
	signed := func(want string) func() bool {
		return func() bool {
			return slices.ContainsFunc(s.of("", ""), func(r *http.Request) bool {
				id, _ := credential(r)
				return id == want
			})
		}
	}
	until(t, "a call by nobody", signed("nobody"))
	w.file("id", access+"\n")
	until(t, "a call with the new id", signed(access))
	if r := w.get(d, "one"); r.Status == state.Archived {
		t.Error("archived with a wrong secret")
	}
	w.file("secret", secret+"\n")
	w.becomes(d, "one", state.Archived)
}

// TestSettingTenantStorage stores each tenant's files where its own storage
// says, which inherits the rest.
func TestSettingTenantStorage(t *testing.T) {
	t.Parallel()
	w := newWorld(t, worldOptions{vendor: twoTenants()})
	w.second("    allow_loopback: true\n")
	w.recording("one", 1000)
	w.recordingOf("beta", "two", 1000)
	other := w.bucket + "-beta"
	if _, err := store.Client().CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: aws.String(other)}); err != nil {
		t.Fatal(err)
	}
	d := w.with(keys{
		"tenants.beta.storage": map[string]any{"bucket": other, "key": "of-beta/{record_id}/{filename}"},
	})
	w.run(d, 20*time.Second, key("one"), state.Key{Tenant: "beta", RecordID: "two"})
	w.archived(d, "one")
	c, err := s3server.Truth(t.Context(), store.Client(), other)
	if err != nil {
		t.Fatal(err)
	}
	got := []string{}
	for _, o := range c.Objects {
		got = append(got, o.Key)
	}
	if diff := cmp.Diff([]string{"manifests/beta/two.json", "of-beta/two/1866_094309.mp4"}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
