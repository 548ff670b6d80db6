package meetingapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// Item is one element of getRecords' answer. An element that is no JSON object
// has only Raw set, and FileSize -1.
type Item struct {
	// RecordID, ConferenceKey and EntID are as the vendor wrote them, numbers
	// digit by digit; empty if absent or of another type.
	RecordID, ConferenceKey, EntID string
	// StartTime and StopTime are in UTC, read in the tenant's zone; zero if
	// absent or unreadable. Nothing dangerous may hang on them.
	StartTime, StopTime time.Time
	// StartRaw and StopRaw are the same as the vendor wrote them, without
	// surrounding blanks.
	StartRaw, StopRaw string
	// FileSize is in bytes; -1 if it is missing, zero, negative, fractional or
	// no number.
	FileSize int64
	// DownURL is the presigned URL, a secret, byte for byte; empty if absent.
	DownURL string
	// Raw is the element as it came, as standard JSON, secrets included: see
	// RedactItem.
	Raw json.RawMessage
}

// Finished reports whether the vendor has finished the file: it says when the
// recording stopped and where the file is. A stop time that cannot be read
// counts, as long as it says anything ("0000-00-00 00:00:00" does not).
func (it Item) Finished() bool {
	stopped := !it.StopTime.IsZero() || strings.ContainsAny(it.StopRaw, "123456789")
	return stopped && it.DownURL != ""
}

// decodeItems reads the data of getRecords: an array; or, tolerated, a single
// item; or nothing (null, absent, an empty object).
func decodeItems(data json.RawMessage, loc *time.Location) ([]Item, error) {
	data = bytes.TrimSpace(data)
	if len(data) == 0 || string(data) == "null" {
		return nil, nil
	}
	switch data[0] {
	case '[':
	case '{':
		if len(bytes.TrimSpace(data[1:len(data)-1])) == 0 {
			return nil, nil
		}
		return []Item{decodeItem(data, loc)}, nil
	default: // saying "nothing there" of it could cost a recording
		return nil, errors.New("data is neither a list of files nor null")
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	if _, err := dec.Token(); err != nil {
		return nil, fmt.Errorf("data: %w", err)
	}
	var items []Item
	for dec.More() {
		if len(items) == maxItems {
			return nil, fmt.Errorf("data lists more than %d files", maxItems)
		}
		var raw json.RawMessage
		if err := dec.Decode(&raw); err != nil {
			return nil, fmt.Errorf("data: %w", err)
		}
		items = append(items, decodeItem(raw, loc))
	}
	return items, nil
}

func decodeItem(raw json.RawMessage, loc *time.Location) Item {
	var m struct {
		RecordID      json.RawMessage `json:"recordId"`
		ConferenceKey json.RawMessage `json:"conferenceKey"`
		EntID         json.RawMessage `json:"entId"`
		StartTime     json.RawMessage `json:"startTime"`
		StopTime      json.RawMessage `json:"stopTime"`
		FileSize      json.RawMessage `json:"fileSize"`
		DownURL       json.RawMessage `json:"downUrl"`
	}
	it := Item{FileSize: -1, Raw: raw}
	if json.Unmarshal(raw, &m) != nil {
		return it
	}
	it.RecordID = text(m.RecordID)
	it.ConferenceKey = text(m.ConferenceKey)
	it.EntID = text(m.EntID)
	it.StartRaw = strings.TrimSpace(text(m.StartTime))
	it.StopRaw = strings.TrimSpace(text(m.StopTime))
	it.StartTime = parseTime(it.StartRaw, loc)
	it.StopTime = parseTime(it.StopRaw, loc)
	it.DownURL = strings.TrimSpace(text(m.DownURL))
	if n := whole(text(m.FileSize)); n > 0 {
		it.FileSize = n
	}
	return it
}

// text returns a string's value or a number's digits; "" for anything else.
func text(raw json.RawMessage) string {
	if len(raw) == 0 {
		return ""
	}
	switch c := raw[0]; {
	case c == '"':
		var s string
		if json.Unmarshal(raw, &s) != nil {
			return ""
		}
		return s
	case c == '-' || c >= '0' && c <= '9':
		return string(raw)
	}
	return ""
}

// whole reads a whole number of at least 0, written as an integer or as a
// double; -1 for anything else. Doubles beyond 2^53 have lost digits and are
// not taken.
func whole(s string) int64 {
	s = strings.TrimSpace(s)
	if n, err := strconv.ParseInt(s, 10, 64); err == nil {
		return max(n, -1)
	}
	if s == "" || strings.Trim(s, "0123456789+-.eE") != "" { // no Inf, NaN, hexadecimal
		return -1
	}
	f, err := strconv.ParseFloat(s, 64)
	if err != nil || f < 0 || f > 1<<53 || f != math.Trunc(f) {
		return -1
	}
	return int64(f)
}

// parseTime reads "2006-01-02 15:04:05" in loc and close relatives, as UTC. A
// zone that the text carries itself counts.
func parseTime(s string, loc *time.Location) time.Time {
	for _, layout := range []string{
		time.DateTime, "2006-01-02T15:04:05", time.RFC3339, "2006-01-02 15:04:05Z07:00",
	} {
		if t, err := time.ParseInLocation(layout, s, loc); err == nil {
			return t.UTC()
		}
	}
	return time.Time{}
}

// standardJSON returns body as standard JSON in valid UTF-8, or false if it is
// none even with the vendor's habits: a byte order mark, stray bytes, trailing
// commas (five of the document's own samples), NaN and Infinity.
func standardJSON(body []byte) ([]byte, bool) {
	body = bytes.TrimPrefix(body, []byte("\xef\xbb\xbf"))
	if !utf8.Valid(body) {
		body = bytes.ToValidUTF8(body, []byte("\uFFFD"))
	}
	if json.Valid(body) {
		return body, true
	}
	body = repair(body)
	return body, json.Valid(body)
}

// repair blanks trailing commas and makes null of what is no number, outside
// of strings.
func repair(b []byte) []byte {
	out := make([]byte, 0, len(b))
	var prev byte // the last significant byte before this one
	for i := 0; i < len(b); i++ {
		c := b[i]
		switch {
		case c == '"':
			end := stringEnd(b, i)
			out = append(out, b[i:end]...)
			i = end - 1
		case c == ',' && strings.IndexByte("[{,:\x00", prev) < 0 && closes(b[i+1:]):
			out = append(out, ' ')
		case (c == 'N' || c == 'I' || c == '-') && strings.IndexByte("[,:", prev) >= 0 && notNumber(b[i:]) > 0:
			i += notNumber(b[i:]) - 1
			out = append(out, "null"...)
		default:
			out = append(out, c)
		}
		if !isBlank(c) {
			prev = c
		}
	}
	return out
}

// stringEnd returns the index behind the string literal that starts at i.
func stringEnd(b []byte, i int) int {
	for i++; i < len(b); i++ {
		switch b[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return len(b)
}

func closes(b []byte) bool {
	for _, c := range b {
		if !isBlank(c) {
			return c == '}' || c == ']'
		}
	}
	return false
}

func notNumber(b []byte) int {
	for _, w := range []string{"NaN", "Infinity", "-Infinity"} {
		if bytes.HasPrefix(b, []byte(w)) {
			return len(w)
		}
	}
	return 0
}

func isBlank(c byte) bool { return c == ' ' || c == '\t' || c == '\n' || c == '\r' }
