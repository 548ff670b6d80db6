package meetingapi

import (
	"context"
	"encoding/json"
	"errors"
	"strconv"
	"time"
	"unicode"
	"unicode/utf8"

	"archiver/internal/fault"
)

// Listing is one answer to getRecords.
type Listing struct {
	// Items are the files listed, in the vendor's order; empty if the vendor
	// lists none (an empty array or object, null, or no data at all).
	Items []Item
	// Date is the answer's Date header, zero if it has none. It tells how far
	// the two clocks are apart.
	Date time.Time
	// ReceivedAt is when the answer's header arrived, by our clock.
	ReceivedAt time.Time
}

// GetRecords asks for the files of a recording. It has no effect and is
// repeated on temporary errors. An empty listing is not an error. A listing of
// more than 8 MiB or 10,000 items is a temporary error.
func (c *Client) GetRecords(ctx context.Context, recordID string, p Priority) (Listing, error) {
	body := map[string]string{"recordId": recordID}
	if c.opts.Origin != "" {
		body["origin"] = c.opts.Origin
	}
	r := request{name: "getRecords", subject: recordID, body: body, priority: p}
	a, err := c.call(ctx, r)
	if err != nil {
		return Listing{}, err
	}
	items, err := decodeItems(a.data, c.opts.Location)
	if err != nil {
		f := &failure{kind: fault.Temporary, status: a.status, code: "200", err: err}
		return Listing{}, f.fault(r)
	}
	return Listing{Items: items, Date: a.date, ReceivedAt: a.receivedAt}, nil
}

// DelRecordFile deletes a recording's files at the vendor, for good. It is
// sent once and never repeated; fault.Ambiguous means that the vendor may have
// deleted them: ask getRecords. permit, if not nil, is asked when the call's
// turn under Rate has come, right before it is made; its error is returned as it
// is, and nothing was sent.
func (c *Client) DelRecordFile(ctx context.Context, recordID string, permit func() error) error {
	_, err := c.call(ctx, request{
		name: "delRecordFile", subject: recordID, once: true, priority: Urgent, permit: permit,
		body:    map[string]string{"recordId": recordID},
		unclear: "ask getRecords whether its files are still listed",
	})
	return err
}

// OpenRecord starts recording a running conference and returns the
// recording's id. It is sent once and never repeated; fault.Ambiguous means
// that the recording may run: closeRecord tells its id.
func (c *Client) OpenRecord(ctx context.Context, conferenceKey string) (string, error) {
	return c.forRecordID(ctx, request{
		name: "openRecord", subject: conferenceKey, once: true, priority: Urgent,
		body:    map[string]string{"conferenceKey": conferenceKey},
		unclear: "the recording may be running; closeRecord stops it and tells its recordId",
	})
}

// CloseRecord stops recording a conference and returns the recording's id, the
// one that openRecord gave. It is repeated on temporary errors; ErrNotRecording
// may therefore also mean that an attempt before it had stopped the recording.
// fault.Ambiguous means that the vendor reported success without an id.
func (c *Client) CloseRecord(ctx context.Context, conferenceKey string) (string, error) {
	return c.forRecordID(ctx, request{
		name: "closeRecord", subject: conferenceKey, priority: Urgent,
		body:    map[string]string{"conferenceKey": conferenceKey},
		unclear: "the recording was stopped, but which one it was is unknown",
	})
}

// OpenLive starts the live stream of a conference and returns the URL to watch
// it; public cloud only. It is sent once, like OpenRecord.
func (c *Client) OpenLive(ctx context.Context, conferenceKey string) (string, error) {
	r := request{
		name: "openLive", subject: conferenceKey, once: true, priority: Urgent,
		body:    map[string]string{"conferenceKey": conferenceKey},
		unclear: "the live stream may be running; closeLive ends it",
	}
	return c.forMember(ctx, r, "liveurl", func(s string) bool { return s != "" })
}

// CloseLive ends the live stream of a conference; public cloud only. It is
// repeated on temporary errors.
func (c *Client) CloseLive(ctx context.Context, conferenceKey string) error {
	_, err := c.call(ctx, request{
		name: "closeLive", subject: conferenceKey, priority: Urgent,
		body: map[string]string{"conferenceKey": conferenceKey},
	})
	return err
}

func (c *Client) forRecordID(ctx context.Context, r request) (string, error) {
	return c.forMember(ctx, r, "recordId", ValidRecordID)
}

// forMember makes a call whose data is an object with one member that matters.
// A success without it has had its effect, so it must not be repeated.
func (c *Client) forMember(ctx context.Context, r request, member string, valid func(string) bool) (string, error) {
	a, err := c.call(ctx, r)
	if err != nil {
		return "", err
	}
	var data struct {
		RecordID json.RawMessage `json:"recordId"`
		LiveURL  json.RawMessage `json:"liveurl"`
	}
	if len(a.data) > 0 && json.Unmarshal(a.data, &data) == nil {
		v := text(data.RecordID)
		if member == "liveurl" {
			v = text(data.LiveURL)
		}
		if valid(v) {
			return v, nil
		}
	}
	f := &failure{
		kind: fault.Ambiguous, status: a.status, code: "200", hint: r.unclear,
		err: errors.New("success without a usable " + member),
	}
	return "", f.fault(r)
}

// ValidRecordID reports whether s can be a recordId: 1 to 64 characters of
// valid UTF-8 without control characters. (The vendor's document says 50, and
// in one table 15, which its own samples of 32 and 36 contradict.)
func ValidRecordID(s string) bool {
	if n := utf8.RuneCountInString(s); n < 1 || n > 64 || !utf8.ValidString(s) {
		return false
	}
	for _, r := range s {
		if unicode.IsControl(r) {
			return false
		}
	}
	return true
}

// checkSubject refuses what must not be sent: encoding/json would silently
// replace invalid UTF-8, and another recording could be meant then.
func checkSubject(r request) error {
	if ValidRecordID(r.subject) {
		return nil
	}
	s := r.subject
	r.subject = strconv.Quote(s[:min(len(s), 64)])
	f := &failure{kind: fault.Rejected, err: errors.New("not 1 to 64 characters without control characters"), hint: "nothing was sent"}
	return f.fault(r)
}
