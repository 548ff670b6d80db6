package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"archiver/internal/sandbox/content"
	"archiver/internal/sandbox/s3stub"
	"archiver/internal/sandbox/vendorsim"
)

const (
	auth   = "bench-key"
	bucket = "bench"
)

// job is one piece of work that both sides do.
type job struct {
	name  string
	files int
	size  int64 // bytes of each
}

// measure runs the pairs and prints the row.
func (j job) measure(ctx context.Context, dir, archiver, rclone string, pairs int) error {
	v := vendorsim.New(vendorsim.Options{Tenants: map[string]string{"bench": auth}, NoCRC64: true})
	if err := v.Start(""); err != nil {
		return err
	}
	defer func() { _ = v.Close() }()
	ids, err := j.fill(v)
	if err != nil {
		return err
	}
	var ours, theirs []usage
	for i := range pairs + 1 { // the first pair warms up
		a, err := j.ours(ctx, filepath.Join(dir, fmt.Sprint(j.files, "-", i)), archiver, v, ids)
		if err != nil {
			return err
		}
		b, err := j.rclone(ctx, dir, rclone, v, ids)
		if err != nil {
			return err
		}
		if i > 0 {
			ours, theirs = append(ours, a), append(theirs, b)
		}
	}
	ratio := func(f func(usage) float64) float64 {
		var rs []float64
		for i := range ours {
			rs = append(rs, f(ours[i])/f(theirs[i]))
		}
		return median(rs)
	}
	wall := func(u usage) float64 { return u.wall.Seconds() }
	cpu := func(u usage) float64 { return u.cpu.Seconds() }
	mem := func(u usage) float64 { return float64(u.anon) / (1 << 20) }
	of := func(us []usage, f func(usage) float64) float64 {
		var vs []float64
		for _, u := range us {
			vs = append(vs, f(u))
		}
		return median(vs)
	}
	fmt.Printf("| %s | %.2f | %.2f | %.2f | %.2f, %.2f, %.0f | %.2f, %.2f, %.0f |\n", j.name, ratio(wall), ratio(cpu), ratio(mem),
		of(ours, wall), of(ours, cpu), of(ours, mem), of(theirs, wall), of(theirs, cpu), of(theirs, mem))
	return nil
}

func median(v []float64) float64 {
	v = slices.SortedFunc(slices.Values(v), cmp.Compare)
	return v[len(v)/2]
}

func (j job) fill(v *vendorsim.Server) ([]string, error) {
	var ids []string
	at := time.Date(2019, 5, 31, 1, 43, 9, 0, time.UTC)
	for i := range j.files {
		c, err := content.MP4(uint64(i), j.size, content.Faststart)
		if err != nil {
			return nil, err
		}
		id := fmt.Sprintf("rec%05d", i)
		err = v.AddRecording(vendorsim.Recording{ID: id, Tenant: "bench", ConferenceKey: "1866", EntID: 52, Files: []vendorsim.File{{
			Start: at, Stop: at.Add(time.Minute), Content: c, Name: id + ".mp4",
		}}})
		if err != nil {
			return nil, err
		}
		ids = append(ids, id)
	}
	return ids, nil
}

// ours runs `archiver backfill` with a fresh state and a fresh bucket.
func (j job) ours(ctx context.Context, dir, binary string, v *vendorsim.Server, ids []string) (usage, error) {
	s3, err := s3stub.Start(ctx, "", s3stub.Options{Buckets: []string{bucket}})
	if err != nil {
		return usage{}, err
	}
	defer func() { _ = s3.Close() }()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return usage{}, err
	}
	config := fmt.Sprintf(`tenants:
  bench: {api_url: %q, auth: %s, api_rate: 10000, allow_loopback: true}
storage: {endpoint: %q, bucket: %s, path_style: true, access_key_id: bench, secret_access_key: benchbench}
state: {path: %q}
transfer: {concurrency: 8}
log: {level: warn}
`, v.APIURL(), auth, s3.Endpoint(), bucket, filepath.Join(dir, "state.db"))
	path := filepath.Join(dir, "archiver.yaml")
	if err := os.WriteFile(path, []byte(config), 0o600); err != nil {
		return usage{}, err
	}
	list := filepath.Join(dir, "ids")
	if err := os.WriteFile(list, []byte(strings.Join(ids, "\n")), 0o600); err != nil {
		return usage{}, err
	}
	return command(ctx, nil, binary, "backfill", "--config", path, "--from", list)
}

// rclone runs `rclone copyurl` for the same files.
func (j job) rclone(ctx context.Context, dir, binary string, v *vendorsim.Server, ids []string) (usage, error) {
	s3, err := s3stub.Start(ctx, "", s3stub.Options{Buckets: []string{bucket}})
	if err != nil {
		return usage{}, err
	}
	defer func() { _ = s3.Close() }()
	var csv strings.Builder
	for _, id := range ids {
		url, err := link(ctx, v.APIURL(), id)
		if err != nil {
			return usage{}, err
		}
		fmt.Fprintf(&csv, "%q,%s.mp4\n", url, id)
	}
	list := filepath.Join(dir, "urls.csv")
	if err := os.WriteFile(list, []byte(csv.String()), 0o600); err != nil {
		return usage{}, err
	}
	env := []string{
		"RCLONE_CONFIG=" + os.DevNull, "RCLONE_CONFIG_B_NO_CHECK_BUCKET=true",
		"RCLONE_IGNORE_CHECKSUM=true", // the stub's ETags are no MD5; it saves rclone some work
		"RCLONE_CONFIG_B_TYPE=s3", "RCLONE_CONFIG_B_PROVIDER=Other",
		"RCLONE_CONFIG_B_ENDPOINT=" + s3.Endpoint(), "RCLONE_CONFIG_B_ACCESS_KEY_ID=bench", "RCLONE_CONFIG_B_SECRET_ACCESS_KEY=benchbench",
	}
	return command(ctx, env, binary, "copyurl", "--urls", list, "b:"+bucket, "--transfers", "8")
}

// link asks the vendor for a download URL.
func link(ctx context.Context, api, id string) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, api+"/meeting/getRecords", bytes.NewBufferString(`{"recordId":"`+id+`"}`))
	if err != nil {
		return "", err
	}
	req.Header.Set("Auth", auth)
	req.Header.Set("Content-Type", "application/json")
	c := http.Client{Timeout: time.Minute}
	resp, err := c.Do(req)
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
