package main

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"archiver/internal/meetingapi"
	"archiver/internal/textline"
)

// idSink is told of every id in a list, and of every line that holds none.
// Lines count from 1.
type idSink struct {
	id  func(line int, tenant, recordID string) error // tenant is "" where the list names none
	bad func(line int, why string)
}

const wantID = "a recordId has 1 to 64 characters and no control characters"

// readIDs reads recordIds in whichever form the list has: one a line; CSV or
// TSV whose header has a record_id column, and perhaps a tenant column; or
// JSON lines, each a string or an object with these members. Empty lines,
// lines that begin with "#", a byte order mark and CR don't count. It holds
// one line at a time. Errors are the reader's, the sink's, and a list whose form
// says that it isn't one of ids.
func readIDs(r io.Reader, sink idSink) error {
	br := bufio.NewReaderSize(r, 64<<10)
	for n := 1; ; n++ {
		line, err := readLine(br)
		if n == 1 {
			line = bytes.TrimPrefix(line, []byte("\xef\xbb\xbf"))
		}
		text := strings.TrimSpace(string(line))
		if text == "" || text[0] == '#' {
			if err != nil {
				return ended(err)
			}
			continue
		}
		if errors.Is(err, io.EOF) {
			err = nil // this is the last line; the next reading says so again
		}
		if err != nil {
			return ended(err)
		}
		if t, ok := sheetOf(text); ok {
			return t.read(br, n, sink)
		}
		if i := strings.IndexAny(text, ",;\t"); i >= 0 && text[0] != '{' && text[0] != '"' {
			return fmt.Errorf("line %d: it looks like a table, but its header has no column record_id", n)
		}
		one := plainID
		if text[0] == '{' || json.Valid([]byte(text)) && text[0] == '"' {
			one = jsonID
		}
		return readLines(br, n, text, one, sink)
	}
}

func ended(err error) error {
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// errLong is a line that is too long to hold anything of ours.
var errLong = errors.New("the line is longer than 64 KiB")

// readLine returns a line; io.EOF comes with the last one, errLong instead of
// one that does not fit.
func readLine(br *bufio.Reader) ([]byte, error) {
	line, long, err := textline.Read(br)
	if long && (err == nil || errors.Is(err, io.EOF)) {
		return nil, errLong
	}
	return line, err
}

// readLines reads a list with one id a line, of which the first is text, the
// n-th.
func readLines(br *bufio.Reader, n int, text string, one func(string) (tenant, id string, err error), sink idSink) error {
	for {
		if text != "" && text[0] != '#' {
			tenant, id, err := one(text)
			if err := sink.check(n, tenant, id, err); err != nil {
				return err
			}
		}
		line, err := readLine(br)
		n++
		text = strings.TrimSpace(string(line))
		switch {
		case errors.Is(err, errLong):
			sink.bad(n, err.Error())
		case errors.Is(err, io.EOF) && text != "":
		case err != nil:
			return ended(err)
		}
	}
}

func (s idSink) check(line int, tenant, id string, err error) error {
	switch {
	case err != nil:
		s.bad(line, err.Error())
	case !meetingapi.ValidRecordID(id):
		s.bad(line, wantID)
	default:
		return s.id(line, tenant, id)
	}
	return nil
}

func plainID(text string) (tenant, id string, err error) { return "", text, nil }

func jsonID(text string) (tenant, id string, err error) {
	var o struct {
		Tenant   string `json:"tenant"`
		RecordID string `json:"record_id"`
	}
	if text[0] == '"' {
		err = json.Unmarshal([]byte(text), &o.RecordID)
	} else {
		err = json.Unmarshal([]byte(text), &o)
	}
	if err != nil {
		return "", "", errors.New(`it is neither a JSON string nor an object such as {"record_id": "…"}`)
	}
	return o.Tenant, o.RecordID, nil
}

// sheet is where the columns of a CSV or TSV file are.
type sheet struct {
	comma    rune
	recordID int
	tenant   int // -1: there is none
}

// sheetOf reads a header; false if it is none with a record_id column.
func sheetOf(header string) (sheet, bool) {
	for _, comma := range []rune{',', '\t', ';'} {
		r := csv.NewReader(strings.NewReader(header))
		r.Comma, r.LazyQuotes, r.TrimLeadingSpace = comma, true, comma != '\t'
		names, err := r.Read()
		if err != nil {
			continue
		}
		column := func(want string) int {
			return slices.IndexFunc(names, func(s string) bool { return strings.EqualFold(strings.TrimSpace(s), want) })
		}
		if i := column("record_id"); i >= 0 {
			return sheet{comma: comma, recordID: i, tenant: column("tenant")}, true
		}
	}
	return sheet{}, false
}

// read reads the rows below the header, which is the n-th line.
func (t sheet) read(br *bufio.Reader, n int, sink idSink) error {
	r := csv.NewReader(br)
	r.Comma, r.Comment, r.FieldsPerRecord, r.ReuseRecord, r.TrimLeadingSpace = t.comma, '#', -1, true, t.comma != '\t'
	for {
		row, err := r.Read()
		if parse, ok := errors.AsType[*csv.ParseError](err); ok {
			why := parse.Err.Error()
			if parse.Line > parse.StartLine {
				why += fmt.Sprintf("; the quote goes on to line %d, and nothing in between was read: close it, and run again", n+parse.Line)
			}
			sink.bad(n+parse.StartLine, why)
			continue
		}
		if err != nil {
			return ended(err)
		}
		first, _ := r.FieldPos(0)
		line := n + first
		if len(row) == 1 && strings.TrimSpace(row[0]) == "" {
			continue
		}
		if t.recordID >= len(row) {
			sink.bad(line, "the row has no record_id")
			continue
		}
		tenant := ""
		if t.tenant >= 0 && t.tenant < len(row) {
			tenant = strings.TrimSpace(row[t.tenant])
		}
		if err := sink.check(line, tenant, strings.TrimSpace(row[t.recordID]), nil); err != nil {
			return err
		}
	}
}
