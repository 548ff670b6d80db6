package poller

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"archiver/internal/fault"
	"archiver/internal/meetingapi"
	"archiver/internal/state"
)

// answer is what one poll brought: facts of a listing, or a refusal.
type answer struct {
	facts
	refused *refusal
}

// facts is what a listing says of one recording.
type facts struct {
	items  []listed  // of this recording, finished or not
	open   int       // unfinished items, whoever's: more is to come
	others int       // finished items of other recordings
	newest time.Time // latest stop time of those, zero if unknown
	digest string    // of the whole listing, without URLs
}

// listed is an item with what the state keeps of it once it is finished: made
// here, because whoever decides on it keeps all other writers waiting.
type listed struct {
	meetingapi.Identified
	source string          // where it is, without query
	vendor json.RawMessage // the item as it came, URLs without query
}

// read boils a listing down to what it says of recordID.
func read(recordID string, items []meetingapi.Identified) facts {
	var f facts
	lines := make([]string, 0, len(items))
	for _, it := range items {
		lines = append(lines, digestLine(it))
		switch {
		case it.Owner == recordID:
			f.items = append(f.items, keep(it))
		case it.Finished():
			f.others++
			if it.StopTime.After(f.newest) {
				f.newest = it.StopTime
			}
		}
		if !it.Finished() {
			f.open++
		}
	}
	slices.Sort(lines) // the order of a listing means nothing
	sum := sha256.Sum256([]byte(strings.Join(lines, "\n")))
	f.digest = hex.EncodeToString(sum[:16])
	return f
}

func keep(it meetingapi.Identified) listed {
	l := listed{Identified: it}
	if it.Finished() {
		l.source, l.vendor = meetingapi.RedactURL(it.DownURL), meetingapi.RedactItem(it.Raw)
	}
	return l
}

// digestLine is what counts as a change of an item: never its URL, which is
// signed anew in every listing.
func digestLine(it meetingapi.Identified) string {
	return strings.Join([]string{
		strconv.Quote(it.Owner), it.FileID, strconv.Quote(it.StartRaw), strconv.Quote(it.StopRaw),
		strconv.FormatInt(it.FileSize, 10), strconv.FormatBool(it.Finished()),
	}, " ")
}

// refusal is an error of the vendor, or on the way to it.
type refusal struct {
	kind    fault.Kind
	nothing bool // it says that there is no such recording (any more): 400, 200008
	text    string
	after   time.Duration
}

func refusalOf(err error) *refusal {
	kind := fault.KindOf(err)
	return &refusal{
		kind:    kind,
		nothing: kind == fault.BadRequest || errors.Is(err, meetingapi.ErrNoSuchConference),
		text:    err.Error(),
		after:   fault.RetryAfterOf(err),
	}
}

// empty reports whether the refusal is as good as an empty listing: a vendor
// that knew the recording's files says so when they are gone.
func (r *refusal) empty(rec state.Recording) bool { return r.nothing && len(rec.Files) > 0 }
