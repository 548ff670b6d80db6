package daemon_test

import (
	"bytes"
	"cmp"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"archiver/internal/daemon"
	"archiver/internal/sandbox/faultproxy"
	"archiver/internal/sandbox/vendorsim"
	"archiver/internal/state"
)

// kills is how often the archiver is killed.
const kills = 50

// killSeed repeats the instants of an earlier run, as far as this machine is
// as fast as then.
var killSeed = flag.Uint64("kill.seed", 0, "seed of TestKilledAtAnyInstant; 0: any")

// TestKilledAtAnyInstant kills the archiver at random moments of its work on
// files of several parts, deletion at the source included, and holds the
// invariants after every kill against what the bucket and the vendor really
// have; at the end everything is archived, once, and nothing is left behind.
func TestKilledAtAnyInstant(t *testing.T) {
	w := newWorld(t, worldOptions{
		vendor: vendorsim.Options{Tenants: map[string]string{"acme": authKey}, DownloadRate: 150 << 20},
		tenant: "    delete_source: {enabled: true, after: 1s, max_per_hour: 10000}\n",
	})
	seed := cmp.Or(*killSeed, rand.Uint64())
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	var ids []string
	unswept := map[string]bool{}
	for round := range kills {
		if round%5 == 0 {
			id := fmt.Sprintf("rec%03d", round)
			w.recording(id, 11<<20, 1<<20, 21<<20)
			ids = append(ids, id)
		}
		w.runUntilKilled(ids, time.Duration(20+rng.IntN(600))*time.Millisecond)
		w.holds(ids, unswept)
	}
	d := w.open()
	w.backfill(d, ids...)
	// Long enough for the grace of what was verified last, and for the waits
	// that kills between a warrant and its outcome have caused.
	for w.kept(d, ids) && w.now().Before(time.Now().Add(4*time.Minute)) {
		w.advance(30 * time.Second)
		w.backfill(d, ids...)
	}
	sum := w.backfill(d, ids...)
	for _, a := range sum.Attention {
		t.Errorf("%s: %s", a.Key, a.Why)
	}
	// What a killed probe had asked for may have come about behind the one that
	// ended; then the next daily one takes it away.
	w.advance(25 * time.Hour)
	w.recording("tomorrow", 1<<20)
	w.backfill(d, "tomorrow")
	w.archived(d, append(ids, "tomorrow")...)
	if _, ended := w.probes(d); !ended {
		t.Error("the state knows of no probe that ended")
	}
	for _, id := range ids {
		truth, _ := w.vendor.Recording(id)
		if truth.Deletions > 1 {
			t.Errorf("%s was deleted %d times", id, truth.Deletions)
		}
		if r := w.get(d, id); r.Status != state.SourceDeleted || !truth.Deleted {
			t.Errorf("%s is %s, deleted at the vendor: %v", id, r.Status, truth.Deleted)
		}
	}
}

// TestKilledWhileAnUploadIsOpened kills the archiver at the same step more often
// than max_attempts: nobody failed, so the file is not given up.
func TestKilledWhileAnUploadIsOpened(t *testing.T) {
	t.Parallel()
	w := newWorld(t, worldOptions{vendor: quiet})
	w.recording("rec", 11<<20)
	call := isCreate
	call.Path = regexp.MustCompile("/rec/")
	remove := w.everywhere(call, faultproxy.Hang{})
	for n := range 6 {
		kill := w.process([]string{"rec"})
		until(t, "the upload is asked for", func() bool {
			return len(slices.DeleteFunc(w.proxy.Log(), func(e faultproxy.Entry) bool {
				return e.Method != call.Method || !strings.HasPrefix(e.RawQuery, "uploads") || !call.Path.MatchString(e.Path)
			})) > n
		})
		kill()
	}
	remove()
	d := w.open()
	sum := w.backfill(d, "rec")
	for _, a := range sum.Attention {
		t.Errorf("%s: %s", a.Key, a.Why)
	}
	w.archived(d, "rec")
	if n := w.get(d, "rec").Files[0].Retakes; n != 0 {
		t.Errorf("%d of the kills count as times that the file was taken again", n)
	}
}

// kept reports whether a source is not deleted yet.
func (w *world) kept(d *daemon.Daemon, ids []string) bool {
	return slices.ContainsFunc(ids, func(id string) bool { return w.get(d, id).Status != state.SourceDeleted })
}

// runUntilKilled runs the archiver as a process of its own and kills it.
func (w *world) runUntilKilled(ids []string, after time.Duration) {
	w.t.Helper()
	kill := w.process(ids)
	<-time.After(after)
	kill()
}

// process starts the archiver as a process of its own; kill ends it, and fails
// the test if it has ended by itself.
func (w *world) process(ids []string) (kill func()) {
	w.t.Helper()
	w.extra.tenantIDs = ids
	cmd := exec.Command(os.Args[0]) //nolint:gosec // this very test binary
	cmd.Env = append(os.Environ(), childConfig+"="+w.configFile())
	var errs bytes.Buffer
	cmd.Stderr = &errs
	if err := cmd.Start(); err != nil {
		w.t.Fatal(err)
	}
	kill = sync.OnceFunc(func() {
		w.t.Helper()
		_ = cmd.Process.Signal(syscall.SIGKILL) // one that has ended is told below
		err := cmd.Wait()
		var exit *exec.ExitError
		if !errors.As(err, &exit) || exit.ExitCode() != -1 || errs.Len() > 0 {
			w.t.Errorf("the archiver ended by itself: %v: %s", err, errs.String())
		}
	})
	w.t.Cleanup(kill)
	return kill
}

// holds checks what must be true after a kill: the state is sound; every file
// that it calls verified is in the bucket with the vendor's bytes; nothing is
// gone at the vendor that is not, and for which there is no warrant; no upload
// is open but those of files and of killed probes, and of these none that was
// there when a probe began that has ended. unswept are their IDs.
func (w *world) holds(ids []string, unswept map[string]bool) {
	w.t.Helper()
	d := w.open()
	defer func() { _ = d.Close() }()
	w.sound(d)
	objects, _, uploads := w.contents()
	have := map[string]string{}
	for _, o := range objects {
		if _, twice := have[o.Key]; twice {
			w.t.Errorf("two objects at %s", o.Key)
		}
		have[o.Key] = o.SHA256
	}
	open := map[string]bool{}
	for _, id := range ids {
		truth, _ := w.vendor.Recording(id)
		r, err := d.Store().Get(w.t.Context(), key(id))
		if errors.Is(err, state.ErrNotFound) {
			continue
		}
		if err != nil {
			w.t.Fatal(err)
		}
		for _, f := range r.Files {
			if f.Upload != nil {
				open[f.Key] = true
			}
			if f.Phase != state.Verified {
				continue
			}
			if have[f.Key] != f.Sums.SHA256 || !w.vendorHad(truth, f) {
				w.t.Errorf("%s/%s is called verified, the bucket has %s", id, f.ID, have[f.Key])
			}
		}
		if truth.Deleted && r.Deletion.WarrantID == "" {
			w.t.Errorf("%s was deleted without a warrant", id)
		}
		if truth.Deleted && !r.AllVerified() {
			w.t.Errorf("%s was deleted before it was archived", id)
		}
	}
	names, ended := w.probes(d)
	for _, u := range uploads {
		switch {
		case open[u.Key]:
		case !slices.Contains(names, u.Key):
			w.t.Errorf("upload of %s is open and the state knows nothing of it", u.Key)
		case !ended:
			unswept[u.UploadID] = true
		case unswept[u.UploadID]:
			w.t.Errorf("upload of %s is open behind a probe that should have swept it", u.Key)
		}
	}
}

// probes returns the keys that this state's probes work at, and whether one has
// ended.
func (w *world) probes(d *daemon.Daemon) (names []string, ended bool) {
	w.t.Helper()
	name, err := d.Store().Fact(w.t.Context(), "instance")
	if err != nil {
		w.t.Fatal(err)
	}
	found, err := d.Store().Fact(w.t.Context(), "capabilities/"+w.proxy.Endpoint()+"/"+w.bucket)
	if err != nil {
		w.t.Fatal(err)
	}
	return []string{".archiver-probe/" + string(name), ".archiver-probe/conditions-" + string(name)}, found != nil
}

func (w *world) vendorHad(truth vendorsim.Truth, f state.File) bool {
	for _, v := range truth.Files {
		if v.Name == f.Filename && v.Start.Equal(f.StartTime) {
			sum, err := v.SHA256()
			return err == nil && sum == f.Sums.SHA256
		}
	}
	return false
}

// idsLine renders tenants.acme.record_ids.
func idsLine(ids []string) string {
	if len(ids) == 0 {
		return ""
	}
	return "    record_ids: [" + strings.Join(ids, ", ") + "]\n"
}
