package web_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"

	"archiver/internal/meetingapi"
	"archiver/internal/web"
)

func FuzzSpan(f *testing.F) {
	for _, s := range []string{"", "bytes=0-0", "bytes=-5", "bytes=5-", "bytes=9-1", "bytes=0-1,2-3", "bytes=-", "bytes=+1-2", "bytes=9223372036854775807-", "bytes=0-99999999999999999999"} {
		f.Add(s, int64(10))
		f.Add(s, int64(0))
	}
	f.Fuzz(func(t *testing.T, header string, size int64) {
		if size < 0 {
			return
		}
		from, n, status := web.Span(header, size)
		switch status {
		case http.StatusOK:
			if from != 0 || n != size {
				t.Errorf("the whole of %d is %d+%d", size, from, n)
			}
		case http.StatusPartialContent:
			if from < 0 || n < 1 || from > size-n {
				t.Errorf("%d+%d of %d", from, n, size)
			}
		case http.StatusRequestedRangeNotSatisfiable:
			if from != 0 || n != 0 {
				t.Errorf("nothing is %d+%d", from, n)
			}
		default:
			t.Errorf("status %d", status)
		}
	})
}

func FuzzReadIDs(f *testing.F) {
	for _, s := range []string{
		"", "\n\r\n", `"a"`, "\ufeff\"a\"\r\n\"b\"", `{"record_id":"a","tenant":"acme"}`, `{"record_id":`, "null", `"\ud800"`, "\"\xff\"", `"` + strings.Repeat("x", 70<<10) + `"`,
	} {
		f.Add([]byte(s))
	}
	tenants := []string{"acme"}
	f.Fuzz(func(t *testing.T, list []byte) {
		keys, invalid, err := web.ReadIDs(bytes.NewReader(list), tenants)
		if err != nil {
			t.Fatal(err)
		}
		full := 0
		for line := range bytes.Lines(bytes.TrimPrefix(list, []byte("\ufeff"))) {
			if len(bytes.TrimSpace(line)) > 0 {
				full++
			}
		}
		if len(keys)+len(invalid) != full {
			t.Errorf("%d lines are %d ids and %d invalid ones", full, len(keys), len(invalid))
		}
		for _, k := range keys {
			if !slices.Contains(tenants, k.Tenant) || !meetingapi.ValidRecordID(k.RecordID) {
				t.Errorf("%q is an id", k)
			}
			// Written as JSON by itself it has to be the same id.
			line, err := json.Marshal(k.RecordID)
			if err != nil {
				t.Fatal(err)
			}
			again, _, err := web.ReadIDs(bytes.NewReader(line), tenants)
			if err != nil || len(again) != 1 || again[0] != k {
				t.Errorf("%q becomes %v, %v", k, again, err)
			}
		}
	})
}
