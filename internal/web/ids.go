package web

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"strings"
	"unicode/utf8"

	"archiver/internal/apitype"
	"archiver/internal/meetingapi"
	"archiver/internal/state"
	"archiver/internal/textline"
)

// maxLine bounds a line of NDJSON, in bytes.
const maxLine = 64 << 10

// idReader reads recordIds, one JSON value a line: {"tenant","record_id"}, or
// just the recordId. Empty lines don't count.
type idReader struct {
	tenant  string   // of lines that name none, "" if each has to
	tenants []string // of the configuration
	key     func(state.Key) error
	invalid func(apitype.Invalid) error
}

// byteOrderMark is what some programs put before UTF-8.
const byteOrderMark = "\ufeff"

// brokenOff is a list that could not be read to its end.
type brokenOff struct {
	line int
	err  error
}

// Error says where.
func (b *brokenOff) Error() string { return fmt.Sprintf("read line %d: %v", b.line, b.err) }

// Unwrap returns the cause.
func (b *brokenOff) Unwrap() error { return b.err }

// read ends at the end of r or at the first error of r (a *brokenOff), key or
// invalid.
func (d idReader) read(r io.Reader) error {
	known := map[string]string{} // one string for a million lines
	for _, t := range d.tenants {
		known[t] = t
	}
	br := bufio.NewReaderSize(r, maxLine)
	for n := 1; ; n++ {
		line, long, err := textline.Read(br)
		ended := errors.Is(err, io.EOF)
		if err != nil && !ended {
			return &brokenOff{line: n, err: err}
		}
		if n == 1 {
			line = bytes.TrimPrefix(line, []byte(byteOrderMark))
		}
		if line = bytes.TrimSpace(line); len(line) > 0 {
			k, why := d.parse(line, long, known)
			var failed error
			if why != "" {
				failed = d.invalid(apitype.Invalid{RecordID: k.RecordID, Line: n, Reason: why})
			} else {
				failed = d.key(k)
			}
			if failed != nil {
				return failed
			}
		}
		if ended {
			return nil
		}
	}
}

// parse returns what a line names, or why it names nothing.
func (d idReader) parse(line []byte, long bool, known map[string]string) (k state.Key, why string) {
	if long {
		return k, fmt.Sprintf("the line has more than %d bytes", maxLine)
	}
	var t apitype.TrackLine
	var err error
	if line[0] == '"' {
		err = json.Unmarshal(line, &t.RecordID)
	} else {
		err = json.Unmarshal(line, &t)
	}
	if err != nil {
		return k, `neither {"record_id": "…"} nor a text: ` + err.Error()
	}
	if t.Tenant == "" {
		t.Tenant = d.tenant
	}
	return check(t.Tenant, t.RecordID, known)
}

// check returns the key of a recordId that may be tracked, or why it may not;
// the key then has the recordId alone.
func check(tenant, id string, known map[string]string) (k state.Key, why string) {
	k.RecordID = id
	switch t, ok := known[tenant]; {
	case !meetingapi.ValidRecordID(id):
		return k, "no recordId: " + wantID
	case strings.ContainsRune(id, utf8.RuneError): // what encoding/json makes of bytes that are no UTF-8: another id could be meant
		return k, "no recordId: it has U+FFFD, which stands for what could not be read; send it as UTF-8"
	case tenant == "":
		return k, "no tenant is named, and the configuration has several"
	case !ok:
		return k, fmt.Sprintf("no tenant %q in the configuration", tenant)
	default:
		return state.Key{Tenant: t, RecordID: id}, ""
	}
}

// only is the tenant that is meant where none is named: the given one, or the
// only one.
func only(given string, tenants []string) string {
	if given == "" && len(tenants) == 1 {
		return tenants[0]
	}
	return given
}

// isJSON reports whether a body is one JSON value. Who says nothing means that.
func isJSON(contentType string) bool {
	media, _, err := mime.ParseMediaType(contentType)
	return contentType == "" || err == nil && media == "application/json"
}

// isNDJSON reports whether a body is a line a value.
func isNDJSON(contentType string) bool {
	media, _, err := mime.ParseMediaType(contentType)
	if err != nil {
		return false
	}
	switch strings.ToLower(media) {
	case "application/x-ndjson", "application/ndjson", "application/jsonl", "application/x-jsonlines":
		return true
	}
	return false
}
