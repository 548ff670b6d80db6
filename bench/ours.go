package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"archiver/internal/apitype"
	"archiver/internal/socket"
)

// archiver is our side: its binary and what is measured of it.
type archiver struct {
	binary string
	env    []string // for a profile
}

// configure writes a configuration with a fresh state into dir.
func configure(dir, endpoint string, w *world, r *row) (config, ids string, err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", "", err
	}
	ids = filepath.Join(dir, "ids")
	if err := os.WriteFile(ids, []byte(strings.Join(w.ids, "\n")+"\n"), 0o600); err != nil {
		return "", "", err
	}
	text := fmt.Sprintf(`tenants:
  %s: {api_url: %q, auth: %s, api_rate: 10000, allow_loopback: true, ca_file: %q}
storage: {endpoint: %q, bucket: %s, path_style: true, access_key_id: bench, secret_access_key: benchbench, ca_file: %q}
state: {path: %q}
transfer: {concurrency: 8, part_size: 8MiB, streams: 4, memory: %dMiB}
http: {listen: ""}
log: {level: warn}
`, tenant, w.api, auth, w.ca, endpoint, bucket, w.ca, filepath.Join(dir, "state.db"), r.memory)
	config = filepath.Join(dir, "archiver.yaml")
	return config, ids, os.WriteFile(config, []byte(text), 0o600)
}

// wholeJob runs `archiver backfill` from a fresh state to its end.
func (a archiver) wholeJob(ctx context.Context, dir string, w *world, r *row) (usage, error) {
	store, err := w.newStore(ctx)
	if err != nil {
		return usage{}, err
	}
	defer func() { _ = store.Close() }()
	return a.backfill(ctx, dir, store.Endpoint(), w, r)
}

func (a archiver) backfill(ctx context.Context, dir, endpoint string, w *world, r *row) (usage, error) {
	config, ids, err := configure(dir, endpoint, w, r)
	if err != nil {
		return usage{}, err
	}
	return command(ctx, a.env, a.binary, "backfill", "--config", config, "--from", ids)
}

// transferAlone measures the part of the job that a copier does as well, and
// the proof: source read, hashed, stored, proven, recorded as verified. A daemon
// has every recording listed while the source holds all downloads back; the
// clock runs from the moment when it lets them go until the daemon says that
// the last file is verified. Manifests are not in it, since the recordings do
// not count as settled for a day; asking how far it is, is.
func (a archiver) transferAlone(ctx context.Context, dir string, w *world, r *row) (usage, error) {
	store, err := w.newStore(ctx)
	if err != nil {
		return usage{}, err
	}
	defer func() { _ = store.Close() }()
	config, _, err := configure(dir, store.Endpoint(), w, r)
	if err != nil {
		return usage{}, err
	}
	text, err := os.ReadFile(config)
	if err != nil {
		return usage{}, err
	}
	text = append(text, `poll: {settle: 24h, schedule: "@every 24h"}`+"\n"...)
	if err := os.WriteFile(config, text, 0o600); err != nil {
		return usage{}, err
	}
	w.downloads.lower()
	p, err := begin(ctx, a.env, a.binary, "run", "--config", config)
	if err != nil {
		w.downloads.raise()
		return usage{}, err
	}
	u, merr := window(ctx, p, filepath.Join(dir, "state.db"), w)
	_ = p.cmd.Process.Signal(syscall.SIGTERM) // one that has ended already says so below
	all, err := p.end()
	if err := errors.Join(merr, err); err != nil {
		return usage{}, err
	}
	u.anon, u.file = all.anon, all.file
	return u, nil
}

// window measures a daemon from the raising of the barrier until all is
// verified. The barrier is up when it returns.
func window(ctx context.Context, p *process, state string, w *world) (usage, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Minute)
	defer cancel()
	asks := asker(state)
	defer asks.CloseIdleConnections()
	n := len(w.ids)
	listed := func(t apitype.TenantStats) int { return t.Files["discovered"] + t.Files["transferring"] }
	err := reaches(ctx, asks, 0, listed) // it answers
	if err == nil {
		err = track(ctx, asks, w.ids)
	}
	if err == nil {
		err = reaches(ctx, asks, n, listed)
	}
	if err != nil {
		w.downloads.raise()
		return usage{}, fmt.Errorf("wait until all is listed: %w", err)
	}
	polls := w.vendor.Counts()["getRecords"]
	cpu, err := p.cpu()
	servers, begun := ownCPU(), time.Now()
	w.downloads.raise()
	if err == nil {
		err = reaches(ctx, asks, n, func(t apitype.TenantStats) int { return t.Files["verified"] })
	}
	if err != nil {
		return usage{}, fmt.Errorf("wait until all is verified: %w", err)
	}
	u := usage{wall: time.Since(begun), servers: ownCPU() - servers}
	until, err := p.cpu()
	u.cpu = until - cpu
	if err == nil {
		err = pure(ctx, asks, w.vendor.Counts()["getRecords"]-polls)
	}
	return u, err
}

// pure makes sure that a window held nothing but transfers.
func pure(ctx context.Context, c *http.Client, polls int) error {
	archived, err := stats(ctx, c, func(t apitype.TenantStats) int { return t.Recordings["archived"] })
	if err == nil && (archived > 0 || polls > 0) {
		err = fmt.Errorf("%d manifests and %d polls fell into what should be transfers alone", archived, polls)
	}
	return err
}

// asker is a client of the daemon beside a state.
func asker(state string) *http.Client {
	path := socket.Path(state)
	return &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "unix", path)
		},
	}}
}

// track hands the recordings to the daemon, which asks about them at once.
func track(ctx context.Context, c *http.Client, ids []string) error {
	body, err := json.Marshal(map[string]any{"tenant": tenant, "record_ids": ids})
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://localhost/api/v1/recordings", bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := c.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	said, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode/100 != 2 {
		err = fmt.Errorf("track %d recordings: %s: %s", len(ids), resp.Status, said)
	}
	return err
}

// reaches returns when what has counted n. It asks rarely at first, and often
// near the end: asking costs the daemon.
func reaches(ctx context.Context, c *http.Client, n int, what func(apitype.TenantStats) int) error {
	for {
		have, err := stats(ctx, c, what)
		if err == nil && have >= n {
			return nil
		}
		pause := 100 * time.Millisecond
		if err == nil && n-have < 100 {
			pause = 5 * time.Millisecond
		}
		t := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			t.Stop()
			return fmt.Errorf("%d of %d: %w", have, n, errors.Join(ctx.Err(), err))
		case <-t.C:
		}
	}
}

func stats(ctx context.Context, c *http.Client, what func(apitype.TenantStats) int) (int, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://localhost/api/v1/stats", nil)
	if err != nil {
		return 0, err
	}
	resp, err := c.Do(req)
	if err != nil {
		return 0, err
	}
	defer func() { _ = resp.Body.Close() }()
	var s apitype.Stats
	if err := json.NewDecoder(resp.Body).Decode(&s); err != nil {
		return 0, err
	}
	for _, t := range s.Tenants {
		if t.Tenant == tenant {
			return what(t), nil
		}
	}
	return 0, fmt.Errorf("%s: no tenant %s", resp.Status, tenant)
}
