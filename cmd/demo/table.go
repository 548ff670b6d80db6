package main

import (
	"bytes"
	"fmt"
	"strings"
	"text/tabwriter"

	"archiver/internal/state"
)

// table renders what became of the recordings: one row each, and one more for
// every further file's checksum.
func table(recordings []state.Recording) string {
	var b bytes.Buffer
	t := tabwriter.NewWriter(&b, 0, 8, 2, ' ', 0) // into memory: writing never fails
	_, _ = fmt.Fprintln(t, "RECORDING\tTENANT\tFILES\tBYTES\tSTATUS\tPROOF\tSHA-256\tSOURCE")
	for _, r := range recordings {
		rows := [][2]string{}
		var size int64
		for _, f := range r.Files {
			if f.Superseded {
				continue
			}
			size += f.Size
			rows = append(rows, [2]string{or(string(f.Level), "none"), or(first12(f.Sums.SHA256), "none")})
		}
		if len(rows) == 0 {
			rows = append(rows, [2]string{"-", "-"})
		}
		files := 0
		if rows[0][0] != "-" {
			files = len(rows)
		}
		_, _ = fmt.Fprintf(t, "%s\t%s\t%d\t%d\t%s\t%s\t%s\t%s\n", short(r.RecordID), r.Tenant, files, size, status(r), rows[0][0], rows[0][1], source(r))
		for _, row := range rows[1:] {
			_, _ = fmt.Fprintf(t, "\t\t\t\t\t%s\t%s\t\n", row[0], row[1])
		}
	}
	_ = t.Flush()
	lines := strings.Split(b.String(), "\n")
	for i, l := range lines {
		lines[i] = strings.TrimRight(l, " ")
	}
	return strings.Join(lines, "\n")
}

func status(r state.Recording) string {
	if r.Reason != "" {
		return fmt.Sprintf("%s (%s)", r.Status, r.Reason)
	}
	return string(r.Status)
}

// source says what became of the recording at the vendor.
func source(r state.Recording) string {
	switch r.Status {
	case state.SourceDeleted:
		return "deleted under warrant " + short(r.Deletion.WarrantID)
	case state.Redirected:
		return "no file of its own"
	default:
		return "kept"
	}
}

func first12(sum string) string { return sum[:min(12, len(sum))] }

func or(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}
