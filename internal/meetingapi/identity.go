package meetingapi

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Identified is an item with the recording that it belongs to and its own
// identity.
type Identified struct {
	Item
	// Owner is the item's recordId; the one asked for if the item's is
	// unusable (see ValidRecordID).
	Owner string
	// FileID is 16 hex digits, the same in every listing whatever the
	// signature, host and directory of downUrl; empty without a downUrl.
	FileID string
	// Filename is the Filename of downUrl; empty without one.
	Filename string
}

// Identify gives each item of a listing, in the listing's order, its owner and
// file identity. A FileID is the first 16 hex digits of SHA-256 over owner,
// start time as written and filename, separated by NUL; the second and later
// items with these three in common, ordered by stop time as written, size and
// place in the list, add NUL and their ordinal from 1. So no two items of a
// listing share one.
func Identify(asked string, items []Item) []Identified {
	out := make([]Identified, len(items))
	same := make(map[string][]int, len(items))
	for i, it := range items {
		id := Identified{Item: it, Owner: it.RecordID}
		if !ValidRecordID(id.Owner) {
			id.Owner = asked
		}
		if it.DownURL != "" {
			id.Filename = Filename(it.DownURL)
			k := strings.Join([]string{withoutNUL(id.Owner), withoutNUL(strings.TrimSpace(it.StartRaw)), withoutNUL(id.Filename)}, "\x00")
			same[k] = append(same[k], i)
		}
		out[i] = id
	}
	for k, at := range same {
		slices.SortStableFunc(at, func(a, b int) int {
			if c := strings.Compare(items[a].StopRaw, items[b].StopRaw); c != 0 {
				return c
			}
			return cmp.Compare(items[a].FileSize, items[b].FileSize)
		})
		for ordinal, i := range at {
			in := k
			if ordinal > 0 {
				in += "\x00" + strconv.Itoa(ordinal)
			}
			sum := sha256.Sum256([]byte(in))
			out[i].FileID = hex.EncodeToString(sum[:8])
		}
	}
	return out
}

// withoutNUL keeps the separator out of the parts, so that no two different
// sets of parts are joined to the same text.
func withoutNUL(s string) string { return strings.ReplaceAll(s, "\x00", "%00") }

// Filename returns the last path segment of an URL, unescaped once; as it is
// where it cannot be unescaped to printable valid UTF-8 (a GBK name stays
// distinct that way), and "recording" where there is none. The result is not
// safe as a path: it may hold "/" or be "..".
func Filename(rawURL string) string {
	path := rawURL
	if i := strings.IndexAny(path, "?#"); i >= 0 {
		path = path[:i]
	}
	if i := strings.Index(path, "//"); i >= 0 && (i == 0 || strings.HasSuffix(path[:i], ":")) {
		_, path, _ = strings.Cut(path[i+2:], "/") // what remains is behind the authority
	}
	name := path[strings.LastIndexByte(path, '/')+1:]
	if plain, err := url.PathUnescape(name); err == nil && utf8.ValidString(plain) && !strings.ContainsFunc(plain, unicode.IsControl) {
		name = plain
	}
	if name == "" {
		return "recording"
	}
	return name
}
