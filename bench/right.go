package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"archiver/internal/sandbox/content"
	"archiver/internal/sandbox/s3server"
)

// right archives into a real store, versitygw on this disk, and compares the
// SHA-256 of each object with that of its source: speed with wrong bytes would
// be none.
func (b bench) right(ctx context.Context, a archiver, size int64) error {
	r := &row{name: "bytes", title: "4 files of %s into versitygw, read back", files: 4, size: size, memory: 128, age: old}
	w, err := newWorld(ctx, r, b.dir, r.age)
	if err != nil {
		return err
	}
	defer w.close()
	dir := filepath.Join(b.dir, "versitygw")
	defer func() { _ = os.RemoveAll(dir) }()
	gw, err := s3server.Start(ctx, s3server.Options{Dir: dir, AccessKey: "bench", SecretKey: "benchbench", Buckets: []string{bucket}})
	if err != nil {
		return err
	}
	defer func() { _ = gw.Close() }()
	u, err := a.backfill(ctx, filepath.Join(b.dir, "right"), gw.Endpoint(), w, r)
	if err != nil {
		return err
	}
	truth, err := s3server.Truth(ctx, gw.Client(), bucket)
	if err != nil {
		return err
	}
	for name, c := range w.files {
		want, err := content.SHA256(c)
		if err != nil {
			return err
		}
		i := slices.IndexFunc(truth.Objects, func(o s3server.Object) bool { return strings.HasSuffix(o.Key, "/"+name) })
		if i < 0 || truth.Objects[i].SHA256 != want {
			return fmt.Errorf("%s in the store is not what the source has: %v", name, truth.Objects)
		}
	}
	fmt.Printf("| %s | every object's SHA-256 is its source's; %d uploads left open | | | | %s | | %.2f |\n", r, len(truth.Uploads), figures([]usage{u}), servers(u))
	return nil
}
