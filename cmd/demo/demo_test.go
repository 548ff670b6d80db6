package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"

	"archiver/internal/sandbox/samples"
	"archiver/internal/state"
)

// TestOnce plays the whole demo as its user does.
func TestOnce(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "kept")
	var out, errs bytes.Buffer
	if code := run(t.Context(), []string{"--once", "--dir", dir}, &out, &errs, nil); code != 0 {
		t.Fatalf("exit code %d, %s\n%s", code, &errs, &out)
	}
	ordered(t, out.String(),
		`acme +asked about .*: the meeting is still running`,
		`acme +meeting 1870 ended; recording .* is being prepared`,
		`acme +asked about .*: not ready yet`,
		`acme +discovered 1870_\d+\.mp4`,
		`acme +recording .* is archived`,
		`acme +source of .* is deleted, confirmed`,
		`proven: 10 files, 25357635 bytes, of 9 recordings`,
	)
	ordered(t, out.String(), `vendor sends 50 % of 7001_.* at byte 11353 of 22706`, `refuses the link of 7001_.* at byte 11353: 403`, `rest of 7001_.* from byte 11353`, `stored 7001_`)
	ordered(t, out.String(), `vendor sends 60 % of 1868_.* at byte 19035 of 31725`, `rest of 1868_.* from byte 19035`, `stored 1868_`, `vendor deletes the files of 7d41b8e6`)
	ordered(t, out.String(), `vendor sends a web page of 108 bytes in place of 7002_`, `attempt failed, 7002_.*HTML page`, `verified 7002_`)
	ordered(t, out.String(), `bucket refuses part 2 of 7003_.*503 SlowDown`, `bucket puts 7003_.* together, but its answer is lost`, `stored 7003_`)
	ordered(t, out.String(), `recording e07c19a4… is adopted: the listing of d81f55b2… names it`, `stored 7004_`)
	for _, row := range []string{
		`5c0f3d92…  acme    3      63937     source_deleted  full_object  7e0f6c5cad8b  deleted under warrant `,
		`c6924a0e…  globex  1      25165824  archived        full_object  `,
		`d81f55b2…  globex  0      0         redirected      -            -             no file of its own`,
	} {
		if !strings.Contains(out.String(), row) {
			t.Errorf("the table lacks %q:\n%s", row, &out)
		}
	}
	want, err := samples.Read(samples.Bars)
	if err != nil {
		t.Fatal(err)
	}
	kept, err := filepath.Glob(filepath.Join(dir, "s3", "data", bucketName, globex, "*", "*", "*", "7002", "*", "*.mp4"))
	if err != nil || len(kept) != 1 {
		t.Fatalf("kept files: %v, %v", kept, err)
	}
	if got, err := os.ReadFile(kept[0]); err != nil || !bytes.Equal(got, want) {
		t.Errorf("%s is not the sample: %v", kept[0], err)
	}
}

// ordered wants lines that match, one behind the other.
func ordered(t *testing.T, out string, lines ...string) {
	t.Helper()
	rest := out
	for _, l := range lines {
		at := regexp.MustCompile(l).FindStringIndex(rest)
		if at == nil {
			t.Fatalf("no line %q in its place; all that was printed:\n%s", l, out)
		}
		rest = rest[at[1]:]
	}
}

// perform builds a world of these recordings and plays it to its end.
func perform(t *testing.T, stories []story, before func(w *world)) (*world, *bytes.Buffer) {
	t.Helper()
	var out bytes.Buffer
	w, err := build(t.Context(), "", stories, &out)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.Close(); err != nil {
			t.Error(err)
		}
		if _, err := os.Stat(w.dir); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s is still there: %v", w.dir, err)
		}
	})
	before(w)
	if err := w.perform(t.Context(), t.Context(), options{once: true, patience: time.Minute}); err != nil {
		t.Fatalf("%v\n%s", err, &out)
	}
	return w, &out
}

// says wants the check at the end to fail, or not, and to say so.
func says(t *testing.T, w *world, out *bytes.Buffer, proven bool, what string) {
	t.Helper()
	out.Reset()
	err := w.conclude(t.Context(), true)
	if err != nil {
		out.WriteString(err.Error())
	}
	if (err == nil) != proven || !regexp.MustCompile(what).MatchString(out.String()) {
		t.Errorf("proven %t and %q are wanted:\n%s", proven, what, out)
	}
}

// TestEndlessFault has one web page more than the archiver has patience: the
// other recording is archived, and the demo fails.
func TestEndlessFault(t *testing.T) {
	two := cast()[3:5]
	w, out := perform(t, two, func(w *world) { w.webPage(two[1].id, 0) })
	ordered(t, out.String(), `recording b3e8d7f5… is QUARANTINED \(bad_content\)`)
	says(t, w, out, false, `NOT PROVEN: globex/b3e8d7f5\S+ is quarantined \(bad_content\).*HTML page`)
	if n := strings.Count(out.String(), "globex/91af06c3"); n > 0 {
		t.Errorf("%d complaints about the other one:\n%s", n, out)
	}
}

// TestCheck damages what was archived: the check at the end must see it.
func TestCheck(t *testing.T) {
	w, out := perform(t, []story{cast()[0], cast()[3]}, func(*world) {})
	object, manifest := only(t, w, "acme/*/*/*/1866/*/*.mp4"), only(t, w, "manifests/acme/*.json")
	const whole = `proven: 2 files, 54431 bytes, of 2 recordings`
	says(t, w, out, true, whole)

	flip(t, object)
	says(t, w, out, false, `object acme/\S+ has SHA-256 |checksum`)
	flip(t, object)

	moved(t, object, w.dir+"/away")
	says(t, w, out, false, `NOT PROVEN: acme/02e57a1c\S+: the bucket has 0 objects`)
	moved(t, w.dir+"/away", object)

	moved(t, manifest, w.dir+"/away")
	says(t, w, out, false, `NOT PROVEN: acme/02e57a1c\S+ has no manifest`)
	moved(t, w.dir+"/away", manifest)

	stray := filepath.Join(filepath.Dir(object), "stray.mp4")
	if err := os.WriteFile(stray, []byte("?"), 0o600); err != nil {
		t.Fatal(err)
	}
	says(t, w, out, false, `NOT PROVEN: object acme/\S+stray.mp4 belongs to no file`)
	moved(t, stray, w.dir+"/stray")
	says(t, w, out, true, whole)

	if err := w.deleteAt(t.Context(), globex, cast()[3].id); err != nil {
		t.Fatal(err)
	}
	says(t, w, out, false, `NOT PROVEN: globex/91af06c3\S+: deleted at the vendor is true, it should be false`)
}

// only returns the one file of the bucket's directory that matches.
func only(t *testing.T, w *world, pattern string) string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(w.store.DataDir(), bucketName, pattern))
	if err != nil || len(found) != 1 {
		t.Fatalf("%s: %v, %v", pattern, found, err)
	}
	return found[0]
}

func moved(t *testing.T, from, to string) {
	t.Helper()
	if err := os.Rename(from, to); err != nil {
		t.Fatal(err)
	}
}

// flip inverts a byte in the middle of a file.
func flip(t *testing.T, path string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	var b [1]byte
	if _, err := f.ReadAt(b[:], 1000); err != nil {
		t.Fatal(err)
	}
	b[0] = ^b[0]
	if _, err := f.WriteAt(b[:], 1000); err != nil {
		t.Fatal(err)
	}
}

// deleteAt deletes a recording at the vendor, past the archiver.
func (w *world) deleteAt(ctx context.Context, tenant, id string) error {
	p := newPerson(w)
	defer p.client.CloseIdleConnections()
	resp, err := p.post(ctx, "delRecordFile", tenant, map[string]string{"recordId": id})
	if err == nil && resp.Code != "200" {
		err = errors.New("code " + resp.Code)
	}
	return err
}

// TestInterrupted ends the endless demo in the middle.
func TestInterrupted(t *testing.T) {
	signals := make(chan os.Signal, 1)
	out := &watcher{word: "is archived", signals: signals}
	var errs bytes.Buffer
	if code := run(t.Context(), nil, out, &errs, signals); code != 0 {
		t.Fatalf("exit code %d, %s\n%s", code, &errs, out.b.String())
	}
	ordered(t, out.b.String(), `Ctrl-C ends it`, `is archived`, `RECORDING +TENANT`, `proven: \d+ files`)
	if !strings.Contains(errs.String(), "stopping") {
		t.Errorf("%s", &errs)
	}
}

// TestCut ends it with two signals: then nothing is proven.
func TestCut(t *testing.T) {
	signals := make(chan os.Signal, 2)
	out := &watcher{word: "is tracked", signals: signals, twice: true}
	var errs bytes.Buffer
	if code := run(t.Context(), []string{"--once"}, out, &errs, signals); code != 1 {
		t.Errorf("exit code %d, %s\n%s", code, &errs, out.b.String())
	}
	if strings.Contains(out.b.String(), "\nproven:") || !strings.Contains(errs.String(), "cut before the check") && !strings.Contains(errs.String(), "not everything is proven") {
		t.Errorf("%s\n%s", out.b.String(), &errs)
	}
}

// watcher sends signals when it reads a word for the first time.
type watcher struct {
	word    string
	twice   bool
	signals chan<- os.Signal

	mu   sync.Mutex
	b    bytes.Buffer
	seen bool
}

func (w *watcher) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.seen && bytes.Contains(p, []byte(w.word)) {
		w.seen = true
		w.signals <- os.Interrupt
		if w.twice {
			w.signals <- os.Interrupt
		}
	}
	return w.b.Write(p)
}

// TestImpatient wants the name of what isn't final in time.
func TestImpatient(t *testing.T) {
	var out bytes.Buffer
	o := options{once: true, cast: cast()[:1], patience: 50 * time.Millisecond}
	err := play(t.Context(), t.Context(), o, &out)
	if err == nil || !errors.Is(err, errUnproven) || !strings.Contains(err.Error(), "not everything is final after 50ms") {
		t.Errorf("%v\n%s", err, &out)
	}
}

func TestUsage(t *testing.T) {
	full := t.TempDir()
	if err := os.WriteFile(filepath.Join(full, "state.db"), []byte("somebody's"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{"--twice"}, 2, "not defined: -twice"},
		{[]string{"--once", "now"}, 2, `unexpected argument "now"`},
		{[]string{"--once", "--dir", full}, 2, "is not empty; name a new directory"},
		{[]string{"--help"}, 0, "-once"},
	} {
		var out, errs bytes.Buffer
		if code := run(t.Context(), c.args, &out, &errs, nil); code != c.code || !strings.Contains(errs.String(), c.says) {
			t.Errorf("%v: exit code %d, want %d; %s", c.args, code, c.code, &errs)
		}
	}
	if b, err := os.ReadFile(filepath.Join(full, "state.db")); err != nil || string(b) != "somebody's" {
		t.Errorf("the directory was touched: %q, %v", b, err)
	}
}

func TestNarrator(t *testing.T) {
	start := time.Date(2019, 5, 31, 1, 43, 9, 0, time.UTC)
	var out bytes.Buffer
	n := newNarrator(&out, start)
	n.say(start.Add(62*time.Second+490*time.Millisecond), acme, "third")
	n.say(start.Add(2*time.Second), globex, "second")
	n.say(start.Add(-time.Second), "", "first %d", 1)
	n.flush(start.Add(10 * time.Second))
	n.say(start.Add(59*time.Second+999*time.Millisecond), acme, "between")
	n.flush(start.Add(time.Hour))
	want := `00:00.0          first 1
00:02.0  globex  second
00:59.9  acme    between
01:02.4  acme    third
`
	if d := cmp.Diff(want, out.String()); d != "" {
		t.Error(d)
	}
}

func TestTable(t *testing.T) {
	got := table([]state.Recording{
		{Tenant: acme, RecordID: "0123456789abcdef", Status: state.SourceDeleted, Deletion: state.Deletion{WarrantID: "w1"}, Files: []state.File{
			{Size: 5, Level: state.LevelFullObject, Sums: state.Checksums{SHA256: "00112233445566778899"}},
			{Size: 9, Level: state.LevelFullObject, Sums: state.Checksums{SHA256: "old"}, Superseded: true},
			{Size: 6, Level: state.LevelReadback, Sums: state.Checksums{SHA256: "aabb"}},
		}},
		{Tenant: globex, RecordID: "short", Status: state.Quarantined, Reason: state.BadContent, Files: []state.File{{}}},
		{Tenant: globex, RecordID: "none", Status: state.Redirected},
	})
	want := `RECORDING  TENANT  FILES  BYTES  STATUS                     PROOF        SHA-256       SOURCE
01234567…  acme    2      11     source_deleted             full_object  001122334455  deleted under warrant w1
                                                            readback     aabb
short      globex  1      0      quarantined (bad_content)  none         none          kept
none       globex  0      0      redirected                 -            -             no file of its own
`
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func TestPadded(t *testing.T) {
	mp4, err := samples.Read(samples.Bars)
	if err != nil {
		t.Fatal(err)
	}
	const size = 40_000
	c := padded(mp4, size)
	all, err := io.ReadAll(io.NewSectionReader(c, 0, size))
	if err != nil || len(all) != size || c.Size() != size {
		t.Fatalf("%d bytes of %d, %v", len(all), c.Size(), err)
	}
	if !bytes.HasPrefix(all, mp4) || !slices.Equal(all[len(mp4):len(mp4)+8], []byte{0, 0, 0x77, 0x1e, 'f', 'r', 'e', 'e'}) {
		t.Errorf("behind the sample: % x", all[len(mp4):len(mp4)+8])
	}
	if err := iotest.TestReader(io.NewSectionReader(c, 0, size), all); err != nil {
		t.Error(err)
	}
	if _, err := c.ReadAt(make([]byte, 1), -1); err == nil {
		t.Error("a negative offset was read")
	}
}
