package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// peers are the programs that we are measured beside.
type peers struct{ rclone, transfermanager string }

// rcloneEnv configures rclone for a store and, as "src:", for the files at
// names without signatures.
func rcloneEnv(endpoint string, w *world) []string {
	return []string{
		"RCLONE_CONFIG=" + os.DevNull, "RCLONE_CONFIG_B_NO_CHECK_BUCKET=true",
		"RCLONE_CONFIG_B_TYPE=s3", "RCLONE_CONFIG_B_PROVIDER=Other", "RCLONE_CONFIG_B_LIST_VERSION=2",
		"RCLONE_CONFIG_B_ENDPOINT=" + endpoint, "RCLONE_CONFIG_B_ACCESS_KEY_ID=bench", "RCLONE_CONFIG_B_SECRET_ACCESS_KEY=benchbench",
		"RCLONE_CONFIG_SRC_TYPE=http", "RCLONE_CONFIG_SRC_URL=" + w.plain + "/",
		"RCLONE_CA_CERT=" + w.ca,
	}
}

// against runs a peer against a fresh store and checks that it has done the
// work.
func against(ctx context.Context, w *world, run func(endpoint string) (usage, error)) (usage, error) {
	store, err := w.newStore(ctx)
	if err != nil {
		return usage{}, err
	}
	defer func() { _ = store.Close() }()
	u, err := run(store.Endpoint())
	if err == nil {
		err = took(store.Stats().Bytes, w)
	}
	return u, err
}

// copyURL runs `rclone copyurl` with links that were fetched before.
func (p peers) copyURL(ctx context.Context, dir string, w *world) (usage, error) {
	return against(ctx, w, func(endpoint string) (usage, error) {
		var csv strings.Builder
		for _, id := range w.ids {
			url, err := w.link(ctx, id)
			if err != nil {
				return usage{}, err
			}
			fmt.Fprintf(&csv, "%q,%s.mp4\n", url, id)
		}
		list := filepath.Join(dir, "urls.csv")
		if err := os.WriteFile(list, []byte(csv.String()), 0o600); err != nil {
			return usage{}, err
		}
		return command(ctx, rcloneEnv(endpoint, w), p.rclone, "copyurl", "--urls", list, "b:"+bucket, "--transfers", "8")
	})
}

// copyFiles runs `rclone copy` from an http remote that lists its files: that
// is faster for it than --files-from with --no-traverse, which asks the store
// about each file first.
func (p peers) copyFiles(ctx context.Context, _ string, w *world) (usage, error) {
	return against(ctx, w, func(endpoint string) (usage, error) {
		return command(ctx, rcloneEnv(endpoint, w), p.rclone, "copy", "src:", "b:"+bucket, "--transfers", "8")
	})
}

// pipe runs the AWS SDK's transfer manager on the row's one file.
func (p peers) pipe(ctx context.Context, _ string, w *world) (usage, error) {
	return against(ctx, w, func(endpoint string) (usage, error) {
		url, err := w.link(ctx, w.ids[0])
		if err != nil {
			return usage{}, err
		}
		return command(ctx, nil, p.transfermanager, "-source", url, "-endpoint", endpoint, "-bucket", bucket, "-key", w.ids[0]+".mp4", "-part", fmt.Sprint(8<<20), "-streams", "4")
	})
}

// took checks that a peer has done the work.
func took(got int64, w *world) error {
	var want int64
	for _, c := range w.files {
		want += c.Size()
	}
	if got < want {
		return fmt.Errorf("the store took %d bytes, the files have %d", got, want)
	}
	return nil
}
