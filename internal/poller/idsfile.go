package poller

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"

	"go.uber.org/zap"

	"archiver/internal/meetingapi"
	"archiver/internal/state"
	"archiver/internal/textline"
)

const (
	// batch is how many ids are tracked in one call, and held in memory: some
	// 20 MB. The more, the fewer times the state writes each of its pages.
	batch = 250_000
	// complaints bounds the log lines about one reading of an ids file.
	complaints = 20
)

// idsFile is a file of recordIds, and what is known of its last reading.
type idsFile struct {
	path    string
	seen    os.FileInfo // when all of it was tracked; nil before
	problem string      // that was said
}

// changed returns the file's state if it is not the one that was read.
func (f *idsFile) changed(now os.FileInfo) bool { return !sameFile(f.seen, now) }

func sameFile(a, b os.FileInfo) bool {
	return a != nil && b != nil && os.SameFile(a, b) && a.Size() == b.Size() && a.ModTime().Equal(b.ModTime())
}

// track makes the configured ids tracked, those of the file if it changed. It
// returns the store's error alone: a file that cannot be read is logged and
// stops nothing.
func (p *Poller) track(ctx context.Context, t *tenant) error {
	t.tracking.Lock()
	defer t.tracking.Unlock()
	if !t.listed {
		keys := make([]state.Key, 0, len(t.RecordIDs))
		for _, id := range t.RecordIDs {
			if !meetingapi.ValidRecordID(id) {
				t.log.Error("record_ids: not a recordId", zap.String("record_id", id))
				continue
			}
			keys = append(keys, t.key(id))
		}
		if err := p.trackAll(ctx, t, keys); err != nil {
			return err
		}
		t.listed = true
	}
	if t.file.path == "" {
		return nil
	}
	stored, err := p.trackFile(ctx, t)
	if stored != nil {
		return stored
	}
	problem := ""
	if err != nil {
		problem = err.Error()
	}
	if problem != "" && problem != t.file.problem {
		t.log.Error("record_ids_file", zap.Error(err))
	}
	t.file.problem = problem
	return nil
}

// trackFile reads the file if it changed. stored is the store's error, err the
// file's.
func (p *Poller) trackFile(ctx context.Context, t *tenant) (stored, err error) {
	now, err := os.Stat(t.file.path)
	if err != nil {
		return nil, err
	}
	if !t.file.changed(now) {
		return nil, nil
	}
	f, err := os.Open(t.file.path)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	before, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if before.IsDir() {
		return nil, fmt.Errorf("%s is a directory", t.file.path)
	}
	if t.file.seen == nil {
		known, stored := p.knows(ctx, t, f, before)
		if known {
			t.file.seen = before
		}
		if known || stored != nil {
			return stored, nil
		}
	}
	read, stored, err := p.trackLines(ctx, t, f)
	if stored != nil || err != nil {
		return stored, err
	}
	after, err := f.Stat()
	if err != nil || !sameFile(before, after) { // it is being written: again at the next run
		return nil, err
	}
	if stored = p.learn(ctx, t, after, read); stored == nil {
		t.file.seen = after
	}
	return stored, nil
}

// trackLines tracks what a file lists. read is the hash of all of it, nil if
// there are lines that are not recordIds: those are complained about at every
// start. stored is the store's error, err the file's.
func (p *Poller) trackLines(ctx context.Context, t *tenant, f io.Reader) (read []byte, stored, err error) {
	said := 0
	bad := func(line int, why string) {
		if said++; said <= complaints {
			t.log.Error("record_ids_file: not a recordId", zap.String("file", t.file.path), zap.Int("line", line), zap.String("why", why))
		}
	}
	var keys []state.Key
	sum := sha256.New()
	err = readIDs(io.TeeReader(f, sum), bad, func(_ int, id string) error {
		keys = append(keys, t.key(id))
		if len(keys) < batch {
			return nil
		}
		stored = p.trackAll(ctx, t, keys)
		keys = keys[:0]
		return stored
	})
	if stored == nil {
		stored = p.trackAll(ctx, t, keys)
	}
	if stored != nil || err != nil {
		return nil, stored, err
	}
	if said > complaints {
		t.log.Error("record_ids_file: more lines that are not recordIds", zap.String("file", t.file.path), zap.Int("lines", said-complaints))
	}
	if said > 0 {
		return nil, nil, nil
	}
	return sum.Sum(nil), nil, nil
}

func (p *Poller) trackAll(ctx context.Context, t *tenant, keys []state.Key) error {
	if len(keys) == 0 {
		return nil
	}
	isNew, err := p.opts.Store.Track(ctx, keys)
	t.beat.strike()
	n := 0
	for _, is := range isNew {
		if is {
			n++
		}
	}
	if n > 0 {
		p.opts.Observer.Tracked(t.Name, n)
		t.log.Info("recordings tracked", zap.Int("recordings", n))
	}
	if err != nil {
		return fmt.Errorf("track %d recordIds of tenant %s: %w", len(keys), t.Name, err)
	}
	return nil
}

// readIDs reads one recordId a line: surrounding blanks, a byte order mark, CR
// and empty lines don't count, "#" at the start of a line begins a comment. A
// line that is no recordId is told to bad (with its number from 1) and skipped.
func readIDs(r io.Reader, bad func(line int, why string), id func(line int, id string) error) error {
	br := bufio.NewReaderSize(r, 4096)
	for n := 1; ; n++ {
		line, long, err := textline.Read(br)
		if n == 1 {
			line = bytes.TrimPrefix(line, []byte("\xef\xbb\xbf"))
		}
		s := string(bytes.TrimSpace(line))
		switch {
		case s == "" && !long || s != "" && s[0] == '#':
		case long || !meetingapi.ValidRecordID(s):
			bad(n, "1 to 64 characters without control characters are wanted")
		default:
			if err := id(n, s); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}
