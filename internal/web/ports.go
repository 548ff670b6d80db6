package web

import (
	"context"
	"io"
	"net/http"
	"time"

	"archiver/internal/apitype"
	"archiver/internal/state"
)

// Store is what the API needs of the state.
type Store interface {
	Update(ctx context.Context, k state.Key, decide state.Decide) (state.Recording, error)
	Track(ctx context.Context, keys []state.Key) (isNew []bool, err error)
	Get(ctx context.Context, k state.Key) (state.Recording, error)
	List(ctx context.Context, q state.Query) (state.Page, error)
	EventsOf(ctx context.Context, k state.Key, limit int) ([]state.Event, error)
	Backup(ctx context.Context, w io.Writer) (int64, error)
	Check(ctx context.Context, report func(problem string)) error
}

// Archiver is the rest of the running archiver.
type Archiver interface {
	// Tenants are those of the configuration, ascending.
	Tenants() []string
	// Listed says where the configuration lists a recordId, such as
	// "record_ids of tenant acme in /etc/archiver/archiver.yaml"; "" if it
	// doesn't. The error is of a list that cannot be read.
	Listed(k state.Key) (string, error)
	// Recording and Detail render a recording.
	Recording(ctx context.Context, r state.Recording) apitype.Recording
	Detail(ctx context.Context, r state.Recording, events []state.Event) apitype.Detail
	// Wake hints that there may be something to poll or to transfer.
	Wake()
	Stats(ctx context.Context) (apitype.Stats, error)
	// Alive returns why the process should be started again; nil: its loops
	// still beat.
	Alive(ctx context.Context) error
	Ready(ctx context.Context) apitype.Health
}

// Objects are the archived objects. Errors are *fault.Error or
// state.ErrNotFound.
type Objects interface {
	// Verify asks the bucket for every archived object of a recording and
	// compares; deep reads the bytes back.
	Verify(ctx context.Context, k state.Key, deep bool) (apitype.Verification, error)
	// Content opens a verified object's bytes from offset on, where the file
	// says that it lies, pinned to what was archived.
	Content(ctx context.Context, f state.FileRef, offset int64) (io.ReadCloser, state.File, error)
	// Link signs a URL that gives the object away for ttl.
	Link(ctx context.Context, f state.FileRef, ttl time.Duration) (apitype.Link, error)
}

// Conferences starts and stops recordings and live streams at the vendor.
// Errors are *conference.Error: each tells its HTTP status.
type Conferences interface {
	StartRecord(ctx context.Context, tenant, conferenceKey string) (apitype.Conference, error)
	StopRecord(ctx context.Context, tenant, conferenceKey string) (apitype.Conference, error)
	StartLive(ctx context.Context, tenant, conferenceKey string) (apitype.Conference, error)
	StopLive(ctx context.Context, tenant, conferenceKey string) (apitype.Conference, error)
	// List returns what is open or unresolved; "": of all tenants.
	List(ctx context.Context, tenant string) ([]apitype.Conference, error)
}

// Backfills follows recordings until they are archived.
type Backfills interface {
	// Backfill tracks keys, to the end even if ctx ends meanwhile (none:
	// follows everything that is tracked), and reports progress at least once a second until nothing more is to be had
	// of them now, ctx ends, or the archiver is told to stop.
	Backfill(ctx context.Context, keys *state.KeySet, wait time.Duration, progress func(apitype.Progress) error) (apitype.Summary, error)
	// DryRun tells each recording's plan; nothing is tracked or downloaded.
	DryRun(ctx context.Context, keys *state.KeySet, each func(apitype.Planned) error) error
}

// Options configure the API. All but Token, Hosts and Metrics are required.
type Options struct {
	Store       Store
	Archiver    Archiver
	Objects     Objects
	Conferences Conferences
	Backfills   Backfills
	Metrics     http.Handler // nil: no /metrics
	// Token returns the bearer token that TCP needs, "" for none. Asked for
	// each request, so that a rotated one counts at once.
	Token func() (string, error)
	// Hosts are the Host headers that TCP accepts besides loopback and the
	// address that it listens on.
	Hosts   func() []string
	Version string // of the archiver, for OpenAPI
	// StateName is the base name of the state file: answers over the socket
	// carry it, so that a client sees whom it talks to.
	StateName string
}
