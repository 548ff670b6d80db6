package daemon

import (
	"archiver/internal/config"
	"archiver/internal/objectkey"
	"archiver/internal/state"
)

// manifestKey renders storage.manifest_key.
func manifestKey(t *config.Tenant) func(state.Recording) string {
	return func(r state.Recording) string {
		return t.Storage.ManifestKey.Render(objectkey.Values{
			Tenant: r.Tenant, RecordID: r.RecordID, ConferenceKey: r.ConferenceKey, EntID: r.EntID,
			Start: r.StartTime, Stop: r.StopTime,
		}, t.Storage.Location)
	}
}
