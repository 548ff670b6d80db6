package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"archiver/internal/fault"
)

// download brings one archived file here. Nothing has the file's name before
// all of it was checked and is on the disk.
type download struct {
	a    *client
	w    wantedFile
	path string
	// pause is how long it rests after a broken connection; doubled for each
	// one that brought nothing.
	pause time.Duration

	temp *os.File
	sum  hash.Hash // of what temp has
	have int64     // bytes of it
}

// run downloads; kept: the file was there already.
func (d *download) run(ctx context.Context, bar *fileBar) (kept bool, err error) {
	if kept, err = d.there(); kept || err != nil {
		return kept, err
	}
	if err := os.MkdirAll(filepath.Dir(d.path), 0o777); err != nil {
		return false, err
	}
	d.temp, err = os.CreateTemp(filepath.Dir(d.path), ".archiver-get-*")
	if err != nil {
		return false, err
	}
	defer func() {
		// The name that it was given stays.
		err = errors.Join(err, ignoreNotExist(os.Remove(d.temp.Name())))
	}()
	err = d.fetch(ctx, bar)
	if err == nil {
		err = d.check()
	}
	if err == nil {
		err = d.temp.Chmod(0o666 &^ umask())
	}
	if err == nil {
		err = d.temp.Sync()
	}
	if err = errors.Join(err, d.temp.Close()); err != nil {
		return false, err
	}
	return false, publish(d.temp.Name(), d.path)
}

func ignoreNotExist(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// there reports whether the file is here already. Another one under its name
// is an error.
func (d *download) there() (bool, error) {
	info, err := os.Lstat(d.path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	other := errors.New("there is something else under this name, which is left alone; move it away, or download into another directory with -o")
	if !info.Mode().IsRegular() || info.Size() != d.w.Size {
		return false, other
	}
	f, err := os.Open(d.path)
	if err != nil {
		return false, err
	}
	defer func() { _ = f.Close() }() // nothing was written
	sum := sha256.New()
	if _, err := io.Copy(sum, f); err != nil {
		return false, err
	}
	if hex.EncodeToString(sum.Sum(nil)) != d.w.SHA256 {
		return false, other
	}
	return true, nil
}

// broken is a body that ended early: the rest may come over another connection.
type broken struct{ err error }

func (b *broken) Error() string { return b.err.Error() }
func (b *broken) Unwrap() error { return b.err }

// downloadTries is how often in a row a connection may break without a byte,
// and firstPause how long it rests before the second one, then twice as long.
const (
	downloadTries = 6
	firstPause    = 250 * time.Millisecond
)

// fetch reads all bytes into temp, going on where a broken connection ended.
func (d *download) fetch(ctx context.Context, bar *fileBar) error {
	d.sum = sha256.New()
	for tries := 0; ; {
		before := d.have
		err := d.read(ctx, bar)
		b, again := errors.AsType[*broken](err)
		if !again {
			return err
		}
		if d.have > before {
			tries = 0
		}
		if tries++; tries >= downloadTries {
			if !errors.Is(b.err, io.EOF) && !errors.Is(b.err, io.ErrUnexpectedEOF) {
				return b.err // nobody answers any more
			}
			return d.given("ended after "+exact(d.have), b.err)
		}
		pause := time.NewTimer(d.pause << (tries - 1))
		select {
		case <-pause.C:
		case <-ctx.Done():
			pause.Stop()
			return ctx.Err()
		}
	}
}

// read asks for what is still missing and appends it.
func (d *download) read(ctx context.Context, bar *fileBar) error {
	q := request{
		method: http.MethodGet, path: recordingPath(d.w.tenant, d.w.recordID) + "/files/" + segment(d.w.FileID) + "/content",
		header: http.Header{},
	}
	if d.have > 0 {
		q.header.Set("Range", fmt.Sprintf("bytes=%d-", d.have))
	}
	resp, err := d.a.send(ctx, q)
	if err != nil {
		o, refused := errors.AsType[*outcome](err)
		switch {
		case refused && notArchived(err):
			return d.given("is no longer what it was", o.err)
		case refused || ctx.Err() != nil || d.have == 0 && !errors.Is(err, io.EOF):
			return err
		}
		return &broken{err}
	}
	defer func() { _ = resp.Body.Close() }() // it was read, or is given up
	if err := d.resumed(resp); err != nil {
		return err
	}
	_, err = io.Copy(io.MultiWriter(d.temp, d.sum, bar), &counting{r: io.LimitReader(resp.Body, d.w.Size-d.have+1), n: &d.have})
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, io.ErrUnexpectedEOF) || err == nil && d.have < d.w.Size:
		return &broken{d.a.lost(ctx, io.ErrUnexpectedEOF)}
	case isReadError(err):
		return &broken{d.a.lost(ctx, err)}
	}
	return err
}

// given explains an answer that is not what was archived, or not all of it.
func (d *download) given(what string, err error) error {
	return &outcome{code: exitAttention, err: fmt.Errorf("what the bucket gave %s, and %s were archived: %w; nothing was left here; archiver verify --deep %s asks the bucket about all files",
		what, exact(d.w.Size), err, plain(d.w.recordID))}
}

// notArchived reports a refusal that says that the bucket no longer has what
// was archived.
func notArchived(err error) bool {
	p, ok := errors.AsType[*problem](err)
	return ok && slices.Contains([]fault.Kind{fault.Changed, fault.NotFound, fault.Corrupt}, fault.Kind(p.Code))
}

// resumed checks that an answer begins where it was asked to; a whole one
// starts over.
func (d *download) resumed(resp *http.Response) error {
	if d.have == 0 {
		return nil
	}
	from, _, _ := strings.Cut(strings.TrimPrefix(resp.Header.Get("Content-Range"), "bytes "), "-")
	if resp.StatusCode == http.StatusPartialContent && from == strconv.FormatInt(d.have, 10) {
		return nil
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("asked for bytes from %d on, the answer has %q", d.have, resp.Header.Get("Content-Range"))
	}
	d.have = 0
	d.sum.Reset()
	if err := d.temp.Truncate(0); err != nil {
		return err
	}
	_, err := d.temp.Seek(0, io.SeekStart)
	return err
}

// check compares what is here with what was archived.
func (d *download) check() error {
	got := hex.EncodeToString(d.sum.Sum(nil))
	if d.have == d.w.Size && got == d.w.SHA256 {
		return nil
	}
	what := fmt.Sprintf("SHA-256 %s", got)
	if d.have != d.w.Size {
		what = "a different length"
	}
	return &outcome{code: exitAttention, err: fmt.Errorf("what the bucket gave has %s, and %s of %s was archived; nothing was left here; archiver verify --deep %s asks the bucket about all files",
		what, d.w.SHA256, exact(d.w.Size), plain(d.w.recordID))}
}

// counting counts what was read, and marks errors of reading.
type counting struct {
	r io.Reader
	n *int64
}

type readError struct{ error }

func (e readError) Unwrap() error { return e.error }

func (c *counting) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	*c.n += int64(n)
	if err != nil && !errors.Is(err, io.EOF) {
		err = readError{err}
	}
	return n, err
}

func isReadError(err error) bool {
	_, ok := errors.AsType[readError](err)
	return ok
}
