package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"archiver/internal/sandbox/content"
	"archiver/internal/sandbox/s3stub"
	"archiver/internal/sandbox/vendorsim"
)

// requests counts what one backfill asks of vendor and bucket. It builds the
// archiver.
func requests(ctx context.Context, s scale) ([]figure, error) {
	binary, err := builtArchiver(ctx, s)
	if err != nil {
		return nil, err
	}
	var figures []figure
	for _, c := range []struct {
		what  string
		n     int
		bytes int64
	}{
		{"20 recordings of one file of 1 MiB", 20, 1 << 20},
		{"one recording of one file of 1 GiB", 1, 1 << 30},
	} {
		f, err := backfill(ctx, filepath.Join(s.dir, fmt.Sprint("requests-", c.n)), binary, c.n, c.bytes)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", c.what, err)
		}
		f.What = "requests: " + c.what
		figures = append(figures, f)
	}
	return figures, nil
}

func backfill(ctx context.Context, dir, binary string, n int, size int64) (f figure, err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return f, err
	}
	v := vendorsim.New(vendorsim.Options{Tenants: map[string]string{tenant: "key"}, NoCRC64: true})
	if err := v.Start(""); err != nil {
		return f, err
	}
	defer func() { err = errors.Join(err, v.Close()) }()
	s3, err := s3stub.Start(ctx, "", s3stub.Options{Buckets: []string{"recordings"}})
	if err != nil {
		return f, err
	}
	defer func() { err = errors.Join(err, s3.Close()) }()
	args := []string{"backfill", "--config", filepath.Join(dir, "archiver.yaml")}
	for i := range n {
		c, err := content.MP4(uint64(i), size, content.Faststart)
		if err != nil {
			return f, err
		}
		args = append(args, recordID(i))
		at := time.Date(2019, 5, 31, 1, 43, 9, 0, time.UTC)
		err = v.AddRecording(vendorsim.Recording{ID: recordID(i), Tenant: tenant, ConferenceKey: "1866", EntID: 52, Files: []vendorsim.File{{
			Start: at, Stop: at.Add(time.Minute), Content: c, Name: recordID(i) + ".mp4",
		}}})
		if err != nil {
			return f, err
		}
	}
	config := fmt.Sprintf(`tenants:
  %s: {api_url: %q, auth: key, api_rate: 10000, allow_loopback: true}
storage: {endpoint: %q, bucket: recordings, path_style: true, access_key_id: bench, secret_access_key: benchbench}
state: {path: %q}
log: {level: warn}
`, tenant, v.APIURL(), s3.Endpoint(), filepath.Join(dir, "state.db"))
	if err := os.WriteFile(filepath.Join(dir, "archiver.yaml"), []byte(config), 0o600); err != nil {
		return f, err
	}
	cmd := exec.CommandContext(ctx, binary, args...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return f, fmt.Errorf("backfill: %w: %s", err, out)
	}
	f.Value, f.Note = "bucket: "+counted(s3.Stats().Requests), "vendor: "+counted(v.Counts())
	return f, nil
}

func counted(n map[string]int) string {
	var out []string
	for _, name := range slices.Sorted(maps.Keys(n)) {
		out = append(out, fmt.Sprintf("%d %s", n[name], name))
	}
	return strings.Join(out, ", ")
}
