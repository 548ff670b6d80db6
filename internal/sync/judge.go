package sync

import (
	"context"
	"fmt"

	"go.uber.org/zap"

	"archiver/internal/download"
	"archiver/internal/fault"
	"archiver/internal/state"
)

// weighLength compares what the source declares with the vendor's fileSize
// before a byte is spent on it. A mismatch is asked about again after settle;
// one that stays is archived and marked.
func (x *transfer) weighLength(ctx context.Context) error {
	declared, listed := x.src.version.Length, x.f.DeclaredSize
	if declared > x.o.MaxFileSize {
		return fromSource(&fault.Error{
			Op: "download", Subject: x.f.SourcePath, Kind: fault.Forbidden,
			Err:  fmt.Errorf("the source declares %d bytes, more than transfer.max_file_size", declared),
			Hint: "raise transfer.max_file_size if recordings of that size are right",
		})
	}
	if declared < 0 || listed < 0 || declared == listed {
		return nil
	}
	if err := x.peek(ctx); err != nil {
		return err
	}
	return x.doubt(ctx, fmt.Sprintf("the vendor lists %d bytes, the source declares %d", listed, declared))
}

// peek looks at the first bytes of a source whose length is not what it should
// be: an error page is told as such, and not as a wrong length. The answer is
// given up; it is asked for again where it is needed.
func (x *transfer) peek(ctx context.Context) error {
	if x.off > 0 {
		return nil
	}
	head := make([]byte, headBytes)
	n, _, err := x.lead.fill(ctx, head[:min(headBytes, max(x.src.version.Length, 1))], nil)
	x.lead.close()
	if err != nil {
		return err
	}
	x.src.pinned = x.src.pinned && !x.src.single // the next answer is a file of its own
	return x.sniff(head[:n])
}

// doubt returns nil if the mismatch has lasted for settle, so that the file is
// archived with a mark. Otherwise what was transferred is dropped, and the
// file waits until the listing may have become right.
func (x *transfer) doubt(ctx context.Context, detail string) error {
	now := x.o.Clock()
	if !x.f.DoubtedAt.IsZero() && now.Sub(x.f.DoubtedAt) >= x.o.Settle {
		if _, err := x.o.Links.Refresh(ctx, x.ref, x.rec.AdoptedFrom, RefreshDoubted); err != nil {
			return &vendorError{err}
		}
		before := x.f.DeclaredSize
		if err := x.load(ctx); err != nil {
			return err
		}
		if x.f.DeclaredSize == before {
			return nil
		}
		return &startOver{"the vendor lists another size now"}
	}
	if err := x.abort(ctx); err != nil {
		return err
	}
	from := x.f.DoubtedAt
	if from.IsZero() {
		from = now
	}
	if err := x.update(ctx, state.Doubt{FileID: x.f.ID, Detail: detail, RetryAt: from.Add(x.o.Settle)}); err != nil {
		return err
	}
	x.log.Warn("sizes differ, asked again after settle", zap.String("detail", detail))
	return errDone
}

// sniff judges the first bytes before anything is stored.
func (x *transfer) sniff(first []byte) error {
	m := newMedia(x.f.Filename)
	m.write(first[:min(len(first), headBytes)])
	if why := m.errorDocument(); why != "" {
		return badContent(&fault.Error{
			Op: "download", Subject: x.f.SourcePath, Kind: fault.Corrupt,
			Err:  fmt.Errorf("instead of %s %s: %s", x.f.Filename, why, download.Evidence(m.Head, x.src.lastURL())),
			Hint: "open the recording in the vendor's portal to see whether it is there",
		})
	}
	return nil
}

// judge weighs the whole file once all bytes are read. nil: it may be stored,
// with the marks.
func (x *transfer) judge(ctx context.Context) (state.Marks, error) {
	var marks state.Marks
	if w := x.digest.want; w != nil && *w != x.digest.ecma {
		return marks, badContent(&fault.Error{
			Op: "download", Subject: x.f.SourcePath, Kind: fault.Corrupt,
			Err: fmt.Errorf("CRC64-ECMA of the bytes read is %d, the vendor's store says %d", x.digest.ecma, *w),
		})
	}
	listed := x.f.DeclaredSize
	marks.LengthUnproven = x.src.version.Length < 0 && listed < 0
	if listed >= 0 && listed != x.digest.n {
		if err := x.doubt(ctx, fmt.Sprintf("the vendor lists %d bytes, %d were read", listed, x.digest.n)); err != nil {
			return marks, err
		}
		marks.SizeMismatch = true
	}
	if why := x.digest.media.suspect(); why != "" {
		if x.f.Suspect != why && x.f.Retakes < x.o.MaxAttempts {
			return marks, &retakeError{why}
		}
		marks.ContentSuspect = true
	}
	return marks, nil
}

// retakeError asks for the file to be fetched again from the start.
type retakeError struct{ why string }

func (e *retakeError) Error() string { return e.why }
