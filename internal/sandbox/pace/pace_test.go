package pace_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"archiver/internal/sandbox/pace"
)

func TestWriterKeepsToItsRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b bytes.Buffer
		flushes, begun := 0, time.Now()
		w := pace.Writer(t.Context(), &b, 1000, func() error { flushes++; return nil })
		if n, err := w.Write(make([]byte, 2500)); n != 2500 || err != nil {
			t.Fatalf("Write = %d, %v", n, err)
		}
		if d := time.Since(begun); d != 2500*time.Millisecond {
			t.Errorf("2500 bytes at 1000/s took %v", d)
		}
		if b.Len() != 2500 || flushes != 125 {
			t.Errorf("%d bytes, %d flushes", b.Len(), flushes)
		}
	})
}

func TestReaderKeepsToItsRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begun := time.Now()
		b, err := io.ReadAll(pace.Reader(t.Context(), bytes.NewReader(make([]byte, 500)), 1000))
		if len(b) != 500 || err != nil || time.Since(begun) != 500*time.Millisecond {
			t.Errorf("%d bytes, %v, after %v", len(b), err, time.Since(begun))
		}
	})
}

func TestCanceledWaitEnds(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := pace.Wait(ctx, time.Hour); !errors.Is(err, context.Canceled) {
		t.Errorf("Wait = %v", err)
	}
	if _, err := pace.Writer(ctx, io.Discard, 1, nil).Write(make([]byte, 100)); !errors.Is(err, context.Canceled) {
		t.Errorf("Write = %v", err)
	}
	if _, err := io.ReadAll(pace.Reader(ctx, bytes.NewReader(make([]byte, 100)), 1)); !errors.Is(err, context.Canceled) {
		t.Errorf("Read = %v", err)
	}
}

func TestNoLimit(t *testing.T) {
	var b bytes.Buffer
	if w := pace.Writer(t.Context(), &b, 0, nil); w != io.Writer(&b) {
		t.Error("an unlimited writer is wrapped")
	}
	if r := pace.Reader(t.Context(), &b, 0); r != io.Reader(&b) {
		t.Error("an unlimited reader is wrapped")
	}
}
