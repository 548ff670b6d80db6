package main

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"sync"

	"github.com/spf13/cobra"

	"archiver/internal/apitype"
	"archiver/internal/explain"
	"archiver/internal/state"
)

// verifyFlags say how to look.
type verifyFlags struct{ deep, json bool }

func (c *cli) verifyCommand() *cobra.Command {
	var f verifyFlags
	cmd := &cobra.Command{
		Use:   "verify [RECORD_ID…]",
		Short: "Ask the bucket for what was archived, and compare",
		Long: `Asks the bucket for every archived object of the recordings, of all without
any id, and compares what it says with what was verified. --deep reads all
bytes back.

Exit code: 3 if something does not match, or could not be found out.`,
		RunE: c.act(func(ctx context.Context, args []string) error { return c.verify(ctx, f, args) }),
	}
	cmd.Flags().BoolVar(&f.deep, "deep", false, "read the bytes back")
	cmd.Flags().BoolVar(&f.json, "json", false, "print JSON lines, one a recording")
	return cmd
}

func (c *cli) verify(ctx context.Context, f verifyFlags, ids []string) error {
	if err := validIDs(ids); err != nil {
		return err
	}
	return c.asking(ctx, false, func(ctx context.Context, a *client) error {
		v := verifying{c: c, a: a, f: f, tally: tally{c: c}, named: len(ids) > 0}
		keys, err := v.keys(ctx, ids)
		if err == nil {
			err = v.all(ctx, keys)
		}
		if err != nil {
			return err
		}
		if !f.json {
			if _, err := fmt.Fprintln(c.stdout, v.summary()); err != nil {
				return err
			}
		}
		return v.tally.outcome()
	})
}

// verifying adds up what the bucket says.
type verifying struct {
	c     *cli
	a     *client
	f     verifyFlags
	tally tally

	named bool // these recordings, not all

	recordings, ok, mismatch, failed int
	bytes                            int64 // of files that match
}

// keys are the named recordings, or all that have something in the bucket.
func (v *verifying) keys(ctx context.Context, ids []string) ([]state.Key, error) {
	tenants, err := v.c.tenants(ctx, v.a)
	if err != nil {
		return nil, err
	}
	var keys []state.Key
	for _, id := range once(ids) {
		d, err := v.c.find(ctx, v.a, tenants, id)
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if err != nil {
			v.tally.add(err)
			continue
		}
		keys = append(keys, state.Key{Tenant: d.Tenant, RecordID: d.RecordID})
	}
	if len(ids) > 0 {
		return keys, nil
	}
	q := url.Values{}
	for _, s := range []state.Status{state.Archiving, state.Archived, state.Deleting, state.SourceDeleted, state.DeletionUnconfirmed, state.Quarantined} {
		q.Add("status", string(s))
	}
	if v.c.tenant != "" {
		q.Set("tenant", v.c.tenant)
	}
	_, err = v.a.recordings(ctx, q, 0, func(r apitype.Recording) error {
		if slices.ContainsFunc(r.Files, beenThere) {
			keys = append(keys, state.Key{Tenant: r.Tenant, RecordID: r.RecordID})
		}
		return nil
	})
	return keys, err
}

// beenThere reports a file that is in the bucket, or may be quarantined since
// it was found not to match.
func beenThere(f apitype.File) bool {
	return f.Phase == string(state.Verified) || f.Phase == string(state.FileQuarantined)
}

// atOnce is how many recordings are asked about at once: reading bytes back
// is bound by the line already.
func (f verifyFlags) atOnce() int {
	if f.deep {
		return 1
	}
	return 8
}

// looked is the answer about one recording.
type looked struct {
	key state.Key
	v   apitype.Verification
	err error
}

// all asks about several recordings at once and tells the answers in order.
func (v *verifying) all(ctx context.Context, keys []state.Key) error {
	ctx, cancel := context.WithCancel(ctx)
	var asking sync.WaitGroup
	defer asking.Wait()
	defer cancel()
	queue := make(chan chan looked, v.f.atOnce()-1)
	asking.Go(func() {
		defer close(queue)
		for _, k := range keys {
			place := make(chan looked, 1)
			select {
			case queue <- place:
				asking.Go(func() { place <- v.ask(ctx, k) })
			case <-ctx.Done():
				return
			}
		}
	})
	for place := range queue {
		l := <-place
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if l.err != nil {
			v.tally.add(fmt.Errorf("verify %s: %w", name(l.key.Tenant, l.key.RecordID), l.err))
			continue
		}
		if err := v.tell(l.v); err != nil {
			return err
		}
	}
	return ctx.Err()
}

func (v *verifying) ask(ctx context.Context, k state.Key) looked {
	q := url.Values{}
	if v.f.deep {
		q.Set("deep", "true")
	}
	l := looked{key: k}
	l.err = v.a.call(ctx, http.MethodPost, recordingPath(k.Tenant, k.RecordID)+"/verify", q, nil, &l.v)
	return l
}

// tell prints what does not match.
func (v *verifying) tell(got apitype.Verification) error {
	if len(got.Files) == 0 && !v.named { // quarantined for another reason, before it was archived
		return nil
	}
	v.recordings++
	if len(got.Files) == 0 {
		got.OK = false
		v.tally.add(&outcome{code: exitAttention, err: fmt.Errorf("verify %s: it has no archived file; archiver show %s says why", name(got.Tenant, got.RecordID), plain(got.RecordID))})
	}
	for _, f := range got.Files {
		switch f.Result {
		case apitype.VerifyOK:
			v.ok++
			v.bytes += f.Size
			continue
		case apitype.VerifyMismatch:
			v.mismatch++
		default:
			v.failed++
		}
		v.tally.needs(exitAttention)
		if v.f.json {
			continue
		}
		if _, err := fmt.Fprintf(v.c.stdout, "%s: %s of %s: %s\n", f.Result, plain(f.Bucket+"/"+f.Key), name(got.Tenant, got.RecordID), plain(f.Error)); err != nil {
			return err
		}
	}
	if v.f.json {
		return lines(v.c.stdout).Encode(got)
	}
	return nil
}

func (v *verifying) summary() string {
	how := "match"
	if v.f.deep {
		how = "read back and match"
	}
	s := fmt.Sprintf("%s, %s: %d %s, %s", explain.Count(v.recordings, "recording"), explain.Count(v.ok+v.mismatch+v.failed, "file"), v.ok, how, exact(v.bytes))
	if v.mismatch > 0 {
		s += fmt.Sprintf("; %d do not match", v.mismatch)
	}
	if v.failed > 0 {
		s += fmt.Sprintf("; %d could not be asked for", v.failed)
	}
	return s
}
