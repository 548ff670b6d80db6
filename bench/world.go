package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"archiver/internal/sandbox/content"
	"archiver/internal/sandbox/pace"
	"archiver/internal/sandbox/s3stub"
	"archiver/internal/sandbox/tlscert"
	"archiver/internal/sandbox/vendorsim"
)

const (
	auth   = "bench-key"
	tenant = "bench"
	bucket = "bench"
)

// world is what the sides of a row work against: the vendor's API and the host
// of its files, the same files at names without signatures, and the settings of
// the store, of which each run gets a fresh one.
type world struct {
	vendor     *vendorsim.Server
	api, plain string   // URLs
	ids        []string // recordings, each with one file
	files      map[string]content.Content
	store      s3stub.Options
	tls        *tlscert.Pair
	ca         string // file of the authority that signed both sides, "" without TLS
	downloads  *barrier
	closers    []func()
}

// newWorld serves what r asks for; its last file ended age ago.
func newWorld(ctx context.Context, r *row, dir string, age time.Duration) (*world, error) {
	w := &world{files: map[string]content.Content{}, downloads: newBarrier(), store: s3stub.Options{Buckets: []string{bucket}, Latency: r.latency, Rate: r.rate, Keep: 64 << 10}}
	if r.tls {
		pair, err := tlscert.New(time.Now())
		if err != nil {
			return nil, err
		}
		w.tls, w.store.TLS, w.ca = pair, pair.Server, filepath.Join(dir, "ca.pem")
		if err := os.WriteFile(w.ca, pair.CAPEM, 0o600); err != nil {
			return nil, err
		}
	}
	w.vendor = vendorsim.New(vendorsim.Options{
		Tenants: map[string]string{tenant: auth}, NoCRC64: true, DownloadLatency: r.latency, DownloadRate: r.rate,
	})
	w.closers = append(w.closers, func() { _ = w.vendor.Close() })
	if err := w.fill(r, age); err != nil {
		return nil, err
	}
	api := http.HandlerFunc(func(rw http.ResponseWriter, req *http.Request) {
		if pace.Wait(req.Context(), r.latency) == nil {
			w.vendor.ServeHTTP(rw, req)
		}
	})
	var downloads string
	for _, host := range []struct {
		url *string
		h   http.Handler
	}{{&w.api, api}, {&downloads, w.downloads.before(w.vendor.DownloadHandler())}, {&w.plain, http.HandlerFunc(w.servePlain)}} {
		var err error
		if *host.url, err = w.serve(ctx, host.h); err != nil {
			w.close()
			return nil, err
		}
	}
	w.vendor.SetDownloadURL(downloads)
	return w, nil
}

func (w *world) close() {
	for _, c := range w.closers {
		c()
	}
}

// serve listens on loopback and returns the URL.
func (w *world) serve(ctx context.Context, h http.Handler) (string, error) {
	var lc net.ListenConfig
	ln, err := lc.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	scheme := "http://"
	url := ln.Addr().String()
	if w.tls != nil {
		ln, scheme = tls.NewListener(ln, w.tls.Server), "https://"
	}
	srv := &http.Server{Handler: h, ReadHeaderTimeout: time.Minute}
	var serving sync.WaitGroup
	serving.Go(func() { _ = srv.Serve(ln) }) // always ends with ErrServerClosed
	w.closers = append(w.closers, func() { _ = srv.Close(); serving.Wait() })
	return scheme + url, nil
}

func (w *world) fill(r *row, age time.Duration) error {
	at := time.Now().Add(-age)
	for i := range r.files {
		c, err := content.Repeating(uint64(i), r.size)
		if err != nil {
			return err
		}
		id := fmt.Sprintf("rec%05d", i)
		err = w.vendor.AddRecording(vendorsim.Recording{ID: id, Tenant: tenant, ConferenceKey: "1866", EntID: 52, Files: []vendorsim.File{{
			Start: at.Add(-time.Minute), Stop: at, Content: c, Name: id + ".mp4",
		}}})
		if err != nil {
			return err
		}
		w.ids = append(w.ids, id)
		w.files[id+".mp4"] = c
	}
	return nil
}

// servePlain answers GET and HEAD of whole files by name, and lists them at "/"
// as web servers do, for a peer that knows no signed links.
func (w *world) servePlain(rw http.ResponseWriter, req *http.Request) {
	if req.URL.Path == "/" {
		rw.Header().Set("Content-Type", "text/html")
		for _, id := range w.ids {
			_, _ = fmt.Fprintf(rw, "<a href=\"%s.mp4\">%s.mp4</a>\n", id, id)
		}
		return
	}
	c, ok := w.files[strings.TrimPrefix(req.URL.Path, "/")]
	switch {
	case !ok:
		http.NotFound(rw, req)
		return
	case req.Header.Get("Range") != "":
		http.Error(rw, "whole files only", http.StatusRequestedRangeNotSatisfiable)
		return
	}
	h := rw.Header()
	h.Set("Content-Type", "video/mp4")
	h.Set("Content-Length", strconv.FormatInt(c.Size(), 10))
	h.Set("Last-Modified", time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC).Format(http.TimeFormat))
	if req.Method == http.MethodGet {
		_ = content.WriteTo(rw, c, 0, c.Size()) // a client that left needs no answer
	}
}

// newStore starts a bucket with nothing in it.
func (w *world) newStore(ctx context.Context) (*s3stub.Server, error) {
	return s3stub.Start(ctx, "", w.store)
}

// link asks the vendor for a download URL.
func (w *world) link(ctx context.Context, id string) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, w.api+"/meeting/getRecords", bytes.NewBufferString(`{"recordId":"`+id+`"}`))
	if err != nil {
		return "", err
	}
	req.Header.Set("Auth", auth)
	req.Header.Set("Content-Type", "application/json")
	tr := &http.Transport{}
	defer tr.CloseIdleConnections()
	if w.tls != nil {
		tr.TLSClientConfig = &tls.Config{RootCAs: w.tls.Pool}
	}
	resp, err := (&http.Client{Timeout: time.Minute, Transport: tr}).Do(req)
	if err != nil {
		return "", err
	}
	defer func() { _ = resp.Body.Close() }()
	var answer struct {
		Data []struct {
			DownURL string `json:"downUrl"`
		} `json:"data"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		return "", err
	}
	if len(answer.Data) != 1 {
		return "", fmt.Errorf("the vendor lists %d files of %s", len(answer.Data), id)
	}
	return answer.Data[0].DownURL, nil
}

// barrier holds requests back while it is down. It is up at first.
type barrier struct {
	mu   sync.Mutex
	wait chan struct{} // closed while it is up
}

func newBarrier() *barrier {
	b := &barrier{wait: make(chan struct{})}
	close(b.wait)
	return b
}

// lower holds back all requests from now on.
func (b *barrier) lower() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.wait = make(chan struct{})
}

// raise lets all through; it is down.
func (b *barrier) raise() {
	b.mu.Lock()
	defer b.mu.Unlock()
	close(b.wait)
}

func (b *barrier) before(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b.mu.Lock()
		wait := b.wait
		b.mu.Unlock()
		select {
		case <-wait:
			h.ServeHTTP(w, r)
		case <-r.Context().Done():
		}
	})
}
