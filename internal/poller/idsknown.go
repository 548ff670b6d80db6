package poller

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"time"
)

// knownFile is the fact that all of a record_ids_file is tracked, so that a
// start need not look up every line of it again. The time is compared besides
// the content: a recordId that was taken out, untracked and put back is to be
// tracked.
type knownFile struct {
	Size     int64     `json:"size"`
	Modified time.Time `json:"modified"`
	SHA256   []byte    `json:"sha256"`
}

func (t *tenant) fileFactName() string { return "poll/" + t.Name + "/record_ids_file" }

// knows reports whether an earlier process has tracked the whole file, as it
// is. What cannot be read to find that out is not known. The error is the
// store's.
func (p *Poller) knows(ctx context.Context, t *tenant, f io.ReadSeeker, now os.FileInfo) (bool, error) {
	b, err := p.opts.Store.Fact(ctx, t.fileFactName())
	if err != nil {
		return false, fmt.Errorf("recall the record_ids_file of tenant %s: %w", t.Name, err)
	}
	var k knownFile
	if json.Unmarshal(b, &k) != nil || k.Size != now.Size() || !k.Modified.Equal(now.ModTime()) {
		return false, nil //nolint:nilerr // what says nothing is not known
	}
	sum := sha256.New()
	_, err = io.Copy(sum, f)
	same := err == nil && bytes.Equal(sum.Sum(nil), k.SHA256)
	_, err = f.Seek(0, io.SeekStart)
	return same && err == nil, nil
}

// learn stores what knows recalls; sum is nil if the file is to be read again
// at the next start.
func (p *Poller) learn(ctx context.Context, t *tenant, now os.FileInfo, sum []byte) error {
	var (
		b   []byte
		err error
	)
	if sum != nil {
		b, err = json.Marshal(knownFile{Size: now.Size(), Modified: now.ModTime().UTC(), SHA256: sum})
	}
	if err == nil {
		err = p.opts.Store.SetFact(ctx, t.fileFactName(), b)
	}
	if err != nil {
		return fmt.Errorf("remember the record_ids_file of tenant %s: %w", t.Name, err)
	}
	return nil
}
