package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"archiver/internal/apitype"
	"archiver/internal/state"
)

// ask asks for a backfill and calls line for each line of the answer, whose
// last one is a summary; that of a dry run is empty.
func (b *backfilling) ask(ctx context.Context, a *client, line func(apitype.BackfillLine) error) error {
	q := url.Values{"wait": {time.Duration(b.f.wait).String()}}
	if b.f.dryRun {
		q.Set("dry_run", "true")
	}
	if b.list == nil {
		q.Set("all", "true")
	}
	resp, err := b.send(ctx, a, q)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }() // it was read
	b.handed.Store(true)
	if a.remote() && !b.f.dryRun {
		b.c.say("handed to the running archiver, which goes on with it whatever becomes of this command")
	}
	out := lines(b.c.stdout)
	in := json.NewDecoder(resp.Body)
	for whole := false; ; {
		var l apitype.BackfillLine
		err := in.Decode(&l)
		switch {
		case errors.Is(err, io.EOF) && whole:
			return nil
		case err != nil:
			return a.lost(ctx, fmt.Errorf("read the answer: %w", err))
		case l.Error != "":
			return errors.New(plain(l.Error))
		}
		whole = whole || l.Summary != nil
		if l.Invalid != nil {
			b.w.bad++
			b.c.say("%s: %s", plain(l.Invalid.RecordID), plain(l.Invalid.Reason))
		}
		if b.f.json && (l.Summary == nil || !b.f.dryRun) {
			if err := out.Encode(l); err != nil {
				return err
			}
		}
		if err := line(l); err != nil {
			return err
		}
	}
}

// send asks, and hands the list over while it is read. What answers has read
// all of it.
func (b *backfilling) send(ctx context.Context, a *client, q url.Values) (*http.Response, error) {
	req := request{method: http.MethodPost, path: "/backfill", query: q}
	if b.list == nil {
		return a.send(ctx, req)
	}
	body, to := io.Pipe()
	defer func() { _ = body.Close() }() // ends whoever still writes
	// Or the transport would wait for the next line before it gives up.
	defer context.AfterFunc(ctx, func() { _ = body.Close() })()
	written := make(chan error, 1)
	go func() { // may outlast an interrupt: who types a list need not press return
		err := hand(to, b.list)
		written <- err
		to.CloseWithError(err)
	}()
	req.body, req.form = body, "application/x-ndjson"
	resp, err := a.send(ctx, req)
	if err == nil {
		return resp, <-written // nil; whoever counts the wrong lines has ended
	}
	select {
	case wrong := <-written: // it is the list that could not be read, or the reading that was given up
		if wrong != nil && !errors.Is(wrong, io.ErrClosedPipe) {
			err = wrong
		}
	default:
	}
	return nil, err
}

// sayEvery is how often progress is logged where there is no terminal.
const sayEvery = 30 * time.Second

// view shows the progress of a backfill.
type view struct {
	b     *backfilling
	all   *fileBar
	files map[state.FileRef]*fileBar
	last  atomic.Pointer[apitype.Progress]
	said  time.Time
}

func newView(b *backfilling) *view {
	v := &view{b: b, files: map[state.FileRef]*fileBar{}, said: time.Now()}
	v.last.Store(&apitype.Progress{})
	v.all = b.screen.total(func() string {
		p := v.last.Load()
		return fmt.Sprintf("recordings %d/%d, files %d/%d", p.Done, p.Recordings, p.FilesDone, p.Files)
	})
	return v
}

// show brings everything to what is true now.
func (v *view) show(p apitype.Progress) {
	v.last.Store(&p)
	if v.all == nil {
		v.say(p)
		return
	}
	v.all.bar.SetTotal(p.Bytes, false)
	v.all.set(p.BytesDone)
	present := map[state.FileRef]struct{}{}
	for _, f := range p.InFlight {
		ref := state.FileRef{Key: state.Key{Tenant: f.Tenant, RecordID: f.RecordID}, FileID: f.FileID}
		present[ref] = struct{}{}
		if v.files[ref] == nil {
			v.files[ref] = v.b.screen.file(f.Filename, f.Size)
		}
		v.files[ref].bar.SetTotal(max(f.Size, f.Transferred), false)
		v.files[ref].set(f.Transferred)
	}
	for ref, bar := range v.files {
		if _, ok := present[ref]; !ok {
			bar.end()
			delete(v.files, ref)
		}
	}
}

// say logs now and then where there are no bars.
func (v *view) say(p apitype.Progress) {
	if time.Since(v.said) < sayEvery {
		return
	}
	v.said = time.Now()
	v.b.log.Info("backfill under way", zap.Int("recordings", p.Recordings), zap.Int("done", p.Done), zap.Int("waiting", p.Waiting),
		zap.Int("files", p.Files), zap.Int("files_done", p.FilesDone), zap.Int64("bytes", p.Bytes), zap.Int64("bytes_done", p.BytesDone), zap.Int("in_flight", len(p.InFlight)))
}

// end removes every bar. Idempotent.
func (v *view) end() {
	for ref, bar := range v.files {
		bar.end()
		delete(v.files, ref)
	}
	v.all.end()
	v.all = nil
}
