package objectkey

import (
	"slices"
	"time"

	"github.com/lestrrat-go/strftime"
)

// The placeholders. {start:…} and {stop:…} take a strftime format.
const (
	phTenant        = "tenant"
	phConferenceKey = "conference_key"
	phRecordID      = "record_id"
	phFileID        = "file_id"
	phFilename      = "filename"
	phExt           = "ext"
	phEntID         = "ent_id"
	phStart         = "start"
	phStop          = "stop"
)

// unknownTime stands for a time that the vendor didn't give. No format gives
// it, because a format must have a verb and all verbs give digits.
const unknownTime = "unknown"

// Template is a parsed key template. It is immutable and may be used by
// several goroutines at once. The zero value renders nothing; make one with
// Parse or ParseManifest.
type Template struct {
	text     string
	segments []segment
}

// A segment is literal text (placeholder is empty) or one placeholder.
type segment struct {
	literal     string
	placeholder string
	format      *strftime.Strftime // for start and stop
}

// Values are what is known of one file when its key is made. Any of them may
// be empty, and none of them is trusted.
type Values struct {
	Tenant        string
	ConferenceKey string
	RecordID      string
	FileID        string    // unique within the tenant
	Filename      string    // last path segment of downUrl, unescaped
	EntID         string    // the vendor's entId in decimal
	Start, Stop   time.Time // zero: not known
}

// Render returns the key for v: 1 to MaxBytes bytes of valid UTF-8 without
// control characters, empty, "." or ".." segments. Times are written in zone;
// nil means UTC. A key that would be longer is cut and gets "~" and
// v.FileID before its extension, so that cut keys stay as different as file
// ids are; without a file id, a hash of the whole key takes its place.
func (t *Template) Render(v Values, zone *time.Location) string {
	if zone == nil {
		zone = time.UTC
	}
	key := make([]byte, 0, 128)
	for _, s := range t.segments {
		switch s.placeholder {
		case "":
			key = append(key, s.literal...)
		case phStart:
			key = appendTime(key, s.format, v.Start, zone)
		case phStop:
			key = appendTime(key, s.format, v.Stop, zone)
		default:
			key = appendValue(key, v.get(s.placeholder))
		}
	}
	if len(key) > MaxBytes {
		long := string(key)
		return cut(long, idSuffix(long, v.FileID))
	}
	return string(key)
}

func appendTime(dst []byte, format *strftime.Strftime, at time.Time, zone *time.Location) []byte {
	if at.IsZero() {
		return append(dst, unknownTime...)
	}
	return format.FormatBuffer(dst, at.In(zone))
}

// get returns the value of a placeholder that isn't a time.
func (v *Values) get(placeholder string) string {
	switch placeholder {
	case phTenant:
		return v.Tenant
	case phConferenceKey:
		return v.ConferenceKey
	case phRecordID:
		return v.RecordID
	case phFileID:
		return v.FileID
	case phFilename:
		return v.Filename
	case phExt:
		return Ext(v.Filename)
	default:
		return v.EntID
	}
}

// Uses reports whether the template has a placeholder of this name, such as
// "tenant" or "start".
func (t *Template) Uses(placeholder string) bool {
	return slices.ContainsFunc(t.segments, func(s segment) bool {
		return s.placeholder != "" && s.placeholder == placeholder
	})
}

// String returns the template as it was written.
func (t *Template) String() string { return t.text }
