package main

import (
	"bufio"
	"encoding/json"
	"io"
	"iter"
	"sync"
	"time"

	"archiver/internal/apitype"
	"archiver/internal/state"
)

// handover writes recordings as the API reads lists of them, while the list is
// read.
type handover struct {
	mu  sync.Mutex
	buf *bufio.Writer
	out *json.Encoder
}

// breatheEvery is how often something is written while a list does not go on:
// an archiver gives up a body of which nothing comes for a minute.
const breatheEvery = 20 * time.Second

// hand writes all of a list. Errors: the list's, w's.
func hand(w io.Writer, list iter.Seq2[state.Key, error]) error {
	u := &handover{buf: bufio.NewWriterSize(w, 32<<10)}
	u.out = lines(u.buf)
	done := make(chan struct{})
	var breathing sync.WaitGroup
	breathing.Go(func() {
		t := time.NewTicker(breatheEvery)
		defer t.Stop()
		for {
			select {
			case <-t.C:
				u.breathe()
			case <-done:
				return
			}
		}
	})
	defer breathing.Wait()
	defer close(done)
	for k, err := range list {
		if err == nil {
			err = u.put(k)
		}
		if err != nil {
			return err
		}
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.buf.Flush()
}

func (u *handover) put(k state.Key) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.out.Encode(apitype.TrackLine{Tenant: k.Tenant, RecordID: k.RecordID})
}

// breathe writes what there is, and an empty line, which means nothing. What
// goes wrong is told by the next put.
func (u *handover) breathe() {
	u.mu.Lock()
	defer u.mu.Unlock()
	_ = u.buf.WriteByte('\n')
	_ = u.buf.Flush()
}
