package config

import (
	"slices"
	"strings"
	"time"

	"archiver/internal/objectkey"
)

// cross checks what depends on more than one key.
func (d *decoder) cross(c *Config) {
	if len(c.Tenants) == 0 && d.fine("tenants", "") {
		d.problem("tenants", nil, "there are none; at least one is required")
	}
	for _, name := range c.TenantNames() {
		at := join("tenants", name)
		if !d.fine(at) {
			continue
		}
		t := c.Tenants[name]
		d.crossTenant(t, at)
		d.crossAuth(t, at)
		d.crossStorage(&t.Storage, at)
		d.crossDelete(t, at, c.Poll.Recheck)
	}
	d.crossManifests(c)
	d.crossTransfer(&c.Transfer)
	if d.fine("poll.give_up_after", "poll.settle") && c.Poll.GiveUpAfter <= c.Poll.Settle {
		d.problem("poll.give_up_after", nil, "%s is not more than poll.settle, %s", formatDuration(c.Poll.GiveUpAfter), formatDuration(c.Poll.Settle))
	}
	if d.fine("http.listen", "http.token", "http.token_file") && c.HTTP.Listen != "" && !isLoopback(c.HTTP.Listen) && c.HTTP.Token.IsZero() {
		d.problem("http.listen", nil, "%q can be reached from other machines, so http.token is required", c.HTTP.Listen)
	}
}

func (d *decoder) crossTenant(t *Tenant, at string) {
	if d.fine(at+".api_url") && t.APIURL == "" {
		d.problem(at+".api_url", nil, "is required")
	}
	if d.fine(at+".proxy", at+".download_hosts") && t.Proxy != "" && len(t.DownloadHosts) == 0 {
		d.problem(at+".proxy", nil, "needs download_hosts: behind a proxy, the address that a download goes to can't be checked when connecting")
	}
	if t.RecordIDsFile != "" && d.fine(at+".record_ids_file") && !exists(t.RecordIDsFile) {
		d.warn(at+".record_ids_file", "%s is not there yet", t.RecordIDsFile)
	}
}

// crossAuth wants exactly one form of auth.
func (d *decoder) crossAuth(t *Tenant, at string) {
	a := &t.Auth
	if !d.fine(at+".auth", at+".auth_file", at+".api_id", at+".api_id_file", at+".api_key", at+".api_key_file", at+".auth_format") {
		return
	}
	built := !a.APIID.IsZero() || !a.APIKey.IsZero() || a.Format != ""
	switch {
	case !a.Header.IsZero() && built:
		d.problem(at+".auth", nil, "is given beside api_id, api_key or auth_format; it is either the header as it is, or these three")
	case a.Header.IsZero() && !built:
		d.problem(at+".auth", nil, "is required: the header as it is, or auth_file, or api_id, api_key and auth_format")
	case !built:
	case a.APIID.IsZero():
		d.problem(at+".api_id", nil, "is required beside api_key and auth_format")
	case a.APIKey.IsZero():
		d.problem(at+".api_key", nil, "is required beside api_id and auth_format")
	case a.Format == "":
		d.problem(at+".auth_format", nil, `is required beside api_id and api_key, such as "{api_id}:{api_key}": the vendor's document doesn't say how the two are put together`)
	}
}

// own returns the key of a storage setting that counts for the tenant at:
// its own where it has one, else the inherited one.
func (d *decoder) own(at, key string) string {
	for _, form := range []string{key, key + "_file"} {
		if d.at[at+".storage."+form] != nil {
			return at + ".storage." + form
		}
	}
	if d.at["storage."+key] != nil || d.at["storage"] != nil {
		return "storage." + key
	}
	return at + ".storage." + key
}

func (d *decoder) crossStorage(s *Storage, at string) {
	if key := d.own(at, "bucket"); d.fine(key) && s.Bucket == "" {
		d.problem(key, nil, "is required, here or for each tenant")
	}
	idKey, secretKey := d.own(at, "access_key_id"), d.own(at, "secret_access_key")
	if d.fine(idKey, secretKey, idKey+"_file", secretKey+"_file") {
		_, ownID := strings.CutPrefix(idKey, at)
		_, ownSecret := strings.CutPrefix(secretKey, at)
		switch {
		case s.AccessKeyID.IsZero() != s.SecretAccessKey.IsZero():
			d.problem(idKey, nil, "access_key_id and secret_access_key go together: give both or none")
		case ownID != ownSecret && !s.AccessKeyID.IsZero():
			d.problem(idKey, nil, "access_key_id and secret_access_key go together: a tenant overrides both or none")
		}
	}
	if key := d.own(at, "sse_kms_key_id"); d.fine(key, d.own(at, "sse")) && s.SSEKMSKeyID != "" && s.SSE != "aws:kms" {
		d.problem(key, nil, "needs sse: aws:kms")
	}
	mode, days := d.own(at, "object_lock.mode"), d.own(at, "object_lock.days")
	if d.fine(mode, days) && (s.ObjectLock.Mode == "") != (s.ObjectLock.Days == 0) {
		d.problem(mode, nil, "mode and days go together: give both or none")
	}
	key, manifest := d.own(at, "key"), d.own(at, "manifest_key")
	if d.fine(key, manifest) && s.Key.String() == s.ManifestKey.String() {
		d.problem(manifest, nil, "is the same as key: the manifest would take the place of a file")
	}
}

// crossDelete warns of settings that delete too early, or never.
func (d *decoder) crossDelete(t *Tenant, at string, recheck []time.Duration) {
	after, require := at+".delete_source.after", at+".delete_source.require"
	if !t.Delete.Enabled || !d.fine(after, require, "poll.recheck") {
		return
	}
	if len(recheck) > 0 && t.Delete.After < recheck[len(recheck)-1] {
		d.warn(after, "%s is less than the longest poll.recheck, %s: files that the vendor adds late may be missed", formatDuration(t.Delete.After), formatDuration(recheck[len(recheck)-1]))
	}
	if t.Delete.Require == RequireReadback && t.Storage.Verify != VerifyReadback {
		d.warn(require, "readback is only reached by files that are read back; with storage.verify: auto, others stay at the source")
	}
	if t.SourceRetention > 0 && t.Delete.After >= t.SourceRetention {
		d.warn(after, "%s is not less than source_retention, %s: the vendor deletes first", formatDuration(t.Delete.After), formatDuration(t.SourceRetention))
	}
}

// crossManifests wants a key of its own for every manifest. Manifests are
// replaced in place, so two tenants that share a bucket need different keys
// even if their recordings have the same ids. Files need no such rule: a key
// that is taken gives way to one with the file id.
func (d *decoder) crossManifests(c *Config) {
	names := c.TenantNames()
	for i, name := range names {
		t := c.Tenants[name]
		key := d.own(join("tenants", name), "manifest_key")
		if !d.fine(key) {
			continue
		}
		other := slices.IndexFunc(names[:i], func(other string) bool { return sameManifests(t, c.Tenants[other]) })
		if other >= 0 {
			d.problem(key, nil, "needs {tenant}: %s and %s share the bucket %s, and recordings of the same id would share one manifest", names[other], name, t.Storage.Bucket)
		}
	}
}

func sameManifests(a, b *Tenant) bool {
	if a.Storage.Bucket != b.Storage.Bucket || !strings.EqualFold(a.Storage.Endpoint, b.Storage.Endpoint) {
		return false
	}
	v := objectkey.Values{Tenant: a.Name, RecordID: "r", ConferenceKey: "c", EntID: "e"}
	w := v
	w.Tenant = b.Name
	return a.Storage.ManifestKey.Render(v, nil) == b.Storage.ManifestKey.Render(w, nil)
}

func (d *decoder) crossTransfer(t *Transfer) {
	if !d.fine("transfer.part_size", "transfer.memory") || t.PartSize <= t.Memory/4 {
		return
	}
	key := "transfer.part_size"
	if d.at[key] == nil {
		key = "transfer.memory"
	}
	d.problem(key, nil, "part_size, %s, is more than a quarter of memory, %s: one file would keep all others waiting", formatSize(t.PartSize), formatSize(t.Memory))
}
