package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"time"

	"github.com/robfig/cron/v3"
	"go.uber.org/zap"

	"archiver/internal/fault"
	"archiver/internal/meetingapi"
	"archiver/internal/objectkey"
	"archiver/internal/poller"
	"archiver/internal/state"
	"archiver/internal/state/bolt"
)

const tenant = "acme"

// begin is when the first recording was tracked; each one was a second later
// than the one before, so that any number of them can be made due.
var begin = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// later is when recordings are polled: they have waited for so long that they
// are not asked about again within a step.
func later(s scale) time.Time {
	return begin.Add(time.Duration(s.n)*time.Second + 30*24*time.Hour)
}

// seconds is a clock that goes on by a second whenever it is looked at.
func seconds() func() time.Time {
	var n atomic.Int64
	return func() time.Time { return begin.Add(time.Duration(n.Add(1)) * time.Second) }
}

// dueAt is when so many poll runs' worth of recordings have become due.
func dueAt(s scale, runs int) time.Time {
	const made = 1 // a look at the clock when the state was made
	return begin.Add(time.Duration(made+runs*s.due) * time.Second)
}

func open(ctx context.Context, path string, clock func() time.Time) (*bolt.Store, error) {
	return bolt.Open(ctx, path, bolt.Options{Clock: clock, Logger: zap.NewNop()})
}

// vendor answers at once.
type vendor struct{ listed bool }

// GetRecords implements poller.Vendor: nothing is ready yet, or one file is.
func (v vendor) GetRecords(_ context.Context, recordID string, _ meetingapi.Priority) (meetingapi.Listing, error) {
	if !v.listed {
		return meetingapi.Listing{}, &fault.Error{Op: "getRecords", Subject: recordID, Kind: fault.NotReady, Code: "200005", Err: errors.New("not ready")}
	}
	stop := begin.Add(time.Hour)
	raw := fmt.Sprintf(`{"conferenceKey":"1866334455","recordId":%q,"entId":52,"startTime":"2026-01-01 00:00:00","stopTime":"2026-01-01 01:00:00","fileSize":734003200,"downUrl":"https://files.example.com/52/20260101/1866334455/%[1]s.mp4?Expires=1767230000&Signature=0123456789abcdef"}`, recordID)
	return meetingapi.Listing{Items: []meetingapi.Item{{
		RecordID: recordID, ConferenceKey: "1866334455", EntID: "52", StartTime: begin, StopTime: stop,
		StartRaw: "2026-01-01 00:00:00", StopRaw: "2026-01-01 01:00:00", FileSize: 734_003_200,
		DownURL: "https://files.example.com/52/20260101/1866334455/" + recordID + ".mp4?Expires=1767230000&Signature=0123456789abcdef",
		Raw:     []byte(raw),
	}}, ReceivedAt: stop}, nil
}

// newPoller is a poller whose clock stands at later.
func newPoller(s scale, store state.Store, v vendor, ids string) (*poller.Poller, error) {
	return newPollerAt(store, v, ids, func() time.Time { return later(s) })
}

// newPollerAt is a poller as the daemon builds it, with the contract's
// defaults.
func newPollerAt(store state.Store, v poller.Vendor, ids string, clock func() time.Time) (*poller.Poller, error) {
	schedule, err := cron.ParseStandard("@every 1m")
	if err != nil {
		return nil, err
	}
	key, err := objectkey.Parse("{tenant}/{start:%Y/%m/%d}/{conference_key}/{record_id}/{filename}")
	if err != nil {
		return nil, err
	}
	return poller.New(poller.Options{
		Store: store, Schedule: schedule, Concurrency: 4, Settle: 10 * time.Minute, MaxInterval: 6 * time.Hour,
		Recheck: []time.Duration{time.Hour, 24 * time.Hour, 72 * time.Hour},
		Clock:   clock,
		Tenants: []poller.Tenant{{
			Name: tenant, Vendor: v, Key: key, Dest: state.Destination{Bucket: "recordings"}, RecordIDsFile: ids,
		}},
	})
}

// writeIDs writes a record_ids_file.
func writeIDs(path string, n int) (err error) {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	w := bufio.NewWriter(f)
	for i := range n {
		if _, err := fmt.Fprintln(w, recordID(i)); err != nil {
			return errors.Join(err, f.Close())
		}
	}
	return errors.Join(w.Flush(), f.Close())
}

// timed measures fn.
func timed(fn func() error) (time.Duration, error) {
	begun := time.Now()
	err := fn()
	return time.Since(begun), err
}

func show(d time.Duration) string {
	switch {
	case d >= 10*time.Second:
		return d.Round(100 * time.Millisecond).String()
	case d >= 10*time.Millisecond:
		return d.Round(time.Millisecond).String()
	default:
		return d.Round(time.Microsecond).String()
	}
}
