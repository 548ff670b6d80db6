package main

import (
	"context"
	"fmt"
	"path/filepath"

	"github.com/spf13/cobra"

	"archiver/internal/apitype"
	"archiver/internal/state"
)

// getFlags say where to.
type getFlags struct {
	dir  string
	json bool
}

func (c *cli) getCommand() *cobra.Command {
	var f getFlags
	cmd := &cobra.Command{
		Use:   "get RECORD_ID…",
		Short: "Download what was archived, and check it",
		Long: `Downloads the archived files of the recordings from the bucket and compares
their SHA-256 with what was archived. A file that does not match is not left
under its name (exit code 3). A file that is there already is kept, and never
overwritten: if it is another one, that is an error.`,
		Args: cobra.MinimumNArgs(1),
		RunE: c.act(func(ctx context.Context, args []string) error { return c.get(ctx, f, args) }),
	}
	cmd.Flags().StringVarP(&f.dir, "output", "o", ".", "download into `dir`, which is made where it is not there")
	cmd.Flags().BoolVar(&f.json, "json", false, "print JSON lines, one a file")
	return cmd
}

// wantedFile is a file to download.
type wantedFile struct {
	apitype.FileDetail
	tenant, recordID string
	name             string // here
}

// gotFile is what get --json prints.
type gotFile struct {
	Tenant   string `json:"tenant"`
	RecordID string `json:"record_id"`
	FileID   string `json:"file_id"`
	Filename string `json:"filename"`
	Path     string `json:"path"` // where it lies here
	Size     int64  `json:"size"`
	SHA256   string `json:"sha256"`
	Kept     bool   `json:"kept"` // it was there already
}

func (c *cli) get(ctx context.Context, f getFlags, ids []string) error {
	if err := validIDs(ids); err != nil {
		return err
	}
	return c.asking(ctx, false, func(ctx context.Context, a *client) error {
		t := tally{c: c}
		var files []wantedFile
		err := c.each(ctx, a, ids, func(d apitype.Detail) error {
			have, err := archivedFiles(d)
			files = append(files, have...)
			return err
		})
		if ctx.Err() != nil {
			return ctx.Err()
		}
		t.add(err)
		localNames(files)
		s := newScreen(c)
		defer s.close()
		for _, w := range files {
			err := c.getOne(ctx, a, s, f, w)
			if ctx.Err() != nil {
				return ctx.Err()
			}
			t.add(err)
		}
		return t.outcome()
	})
}

// archivedFiles are the files of a recording that can be had. The error says
// that some, or all, are missing.
func archivedFiles(d apitype.Detail) ([]wantedFile, error) {
	var have []wantedFile
	missing := 0
	for _, f := range d.Files {
		switch {
		case f.Superseded:
		case f.Phase == string(state.Verified):
			have = append(have, wantedFile{FileDetail: f, tenant: d.Tenant, recordID: d.RecordID})
		default:
			missing++
		}
	}
	id := name(d.Tenant, d.RecordID)
	switch {
	case missing > 0:
		return have, &outcome{code: exitAttention, err: fmt.Errorf("get %s: %d of %d files are not archived yet; archiver show %s says why", id, missing, missing+len(have), plain(d.RecordID))}
	case len(have) == 0:
		return nil, &outcome{code: exitAttention, err: fmt.Errorf("get %s: it is %s and has no archived file; archiver show %s says why", id, d.Status, plain(d.RecordID))}
	}
	return have, nil
}

func (c *cli) getOne(ctx context.Context, a *client, s *screen, f getFlags, w wantedFile) error {
	d := download{a: a, w: w, path: filepath.Join(f.dir, w.name), pause: firstPause}
	bar := s.file(w.name, w.Size)
	kept, err := d.run(ctx, bar)
	bar.end()
	if err != nil {
		return fmt.Errorf("get %s: %w", plain(d.path), err)
	}
	if f.json {
		return lines(c.stdout).Encode(gotFile{
			Tenant: w.tenant, RecordID: w.recordID, FileID: w.FileID, Filename: w.Filename,
			Path: d.path, Size: w.Size, SHA256: w.SHA256, Kept: kept,
		})
	}
	how := "SHA-256 matches"
	if kept {
		how = "was there already, SHA-256 matches"
	}
	_, err = fmt.Fprintf(c.stdout, "%s: %s, %s\n", plain(d.path), exact(w.Size), how)
	return err
}
