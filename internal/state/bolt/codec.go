package bolt

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"math"
	"sync"
	"time"

	"archiver/internal/state"
)

// The encodings of a value, in the byte behind its checksum.
const (
	formatIndex byte = 0 // an index entry: fixed binary fields, often none
	formatJSON  byte = 1
	formatRaw   byte = 2 // the caller's bytes
)

const sealSize = 5 // checksum and format

// damage is a value that is not what was written.
type damage struct {
	bucket string
	key    []byte
	what   string
}

func (d *damage) Error() string {
	return fmt.Sprintf("bucket %s, key %q: %s", d.bucket, d.key, d.what)
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// checksum covers the key too: a right value in a wrong place is damage.
func checksum(key, rest []byte) uint32 {
	return crc32.Update(crc32.Checksum(key, castagnoli), castagnoli, rest)
}

// seal returns what is stored under key: CRC-32C, format, payload.
func seal(key []byte, format byte, payload []byte) []byte {
	v := make([]byte, sealSize, sealSize+len(payload))
	v[4] = format
	v = append(v, payload...)
	binary.BigEndian.PutUint32(v, checksum(key, v[4:]))
	return v
}

// unseal returns the payload of a stored value, which aliases v.
func unseal(bucket string, key, v []byte, format byte) ([]byte, error) {
	switch {
	case len(v) < sealSize:
		return nil, &damage{bucket, bytes.Clone(key), "the value is cut off"}
	case binary.BigEndian.Uint32(v) != checksum(key, v[4:]):
		return nil, &damage{bucket, bytes.Clone(key), "the checksum does not match"}
	case v[4] != format:
		return nil, &damage{bucket, bytes.Clone(key), fmt.Sprintf("the encoding %d is unknown", v[4])}
	}
	return v[sealSize:], nil
}

// encoder is what sealJSON needs, kept for the next value.
type encoder struct {
	text bytes.Buffer
	json *json.Encoder
}

// encoders makes them. HTML is not escaped, so that the vendor's own item stays
// as it came.
var encoders = sync.Pool{New: func() any {
	e := &encoder{}
	e.json = json.NewEncoder(&e.text)
	e.json.SetEscapeHTML(false)
	return e
}}

// sealJSON returns what is stored of v under key.
func sealJSON(key []byte, v any) ([]byte, error) {
	e := encoders.Get().(*encoder)
	e.text.Reset()
	e.text.Write(make([]byte, sealSize))
	if err := e.json.Encode(v); err != nil {
		return nil, fmt.Errorf("encode %T: %w", v, err) // it would say so again
	}
	out := bytes.Clone(bytes.TrimRight(e.text.Bytes(), "\n"))
	encoders.Put(e)
	out[4] = formatJSON
	binary.BigEndian.PutUint32(out, checksum(key, out[4:]))
	return out, nil
}

func unsealJSON(bucket string, key, v []byte, into any) error {
	p, err := unseal(bucket, key, v, formatJSON)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(p, into); err != nil {
		return &damage{bucket, bytes.Clone(key), "cannot be decoded: " + err.Error()}
	}
	return nil
}

// Keys are made of length-prefixed strings, so that no name can run into the
// next, and of big-endian numbers, which sort as they count.

func appendString(b []byte, s string) []byte {
	return append(append(b, byte(len(s))), s...)
}

// cutString undoes appendString.
func cutString(b []byte) (s string, rest []byte, ok bool) {
	if len(b) == 0 || len(b) < 1+int(b[0]) {
		return "", nil, false
	}
	n := 1 + int(b[0])
	return string(b[1:n]), b[n:], true
}

// keyRoom is enough for all but unusual keys.
const keyRoom = 128

func tenantKey(tenant string) []byte { return appendString(make([]byte, 0, keyRoom), tenant) }

func recordingKey(k state.Key) []byte { return appendString(tenantKey(k.Tenant), k.RecordID) }

func parseRecordingKey(b []byte) (k state.Key, rest []byte, ok bool) {
	if k.Tenant, rest, ok = cutString(b); !ok {
		return k, nil, false
	}
	k.RecordID, rest, ok = cutString(rest)
	return k, rest, ok
}

func fileKey(f state.FileRef) []byte { return append(recordingKey(f.Key), f.FileID...) }

func partPrefix(f state.FileRef) []byte { return appendString(recordingKey(f.Key), f.FileID) }

func partKey(f state.FileRef, number int32) []byte {
	return binary.BigEndian.AppendUint32(partPrefix(f), uint32(number))
}

func reservationKey(d state.Destination, key string) []byte {
	b := binary.BigEndian.AppendUint16(nil, uint16(len(d.Endpoint)))
	b = append(b, d.Endpoint...)
	b = binary.BigEndian.AppendUint16(b, uint16(len(d.Bucket)))
	return append(append(b, d.Bucket...), key...)
}

func sequenceKey(n uint64) []byte { return binary.BigEndian.AppendUint64(nil, n) }

func eventOfKey(k state.Key, seq uint64) []byte {
	return binary.BigEndian.AppendUint64(recordingKey(k), seq)
}

// eventOfConferenceKey is the same for both kinds: the event tells which.
func eventOfConferenceKey(ref state.ConferenceRef, seq uint64) []byte {
	return binary.BigEndian.AppendUint64(conferencePrefix(ref.Tenant, ref.ConferenceKey), seq)
}

func sessionKey(ref state.ConferenceRef) []byte {
	return append(conferencePrefix(ref.Tenant, ref.ConferenceKey), ref.Kind...)
}

func parseSessionKey(b []byte) (ref state.ConferenceRef, ok bool) {
	k, kind, ok := parseRecordingKey(b)
	return state.ConferenceRef{Tenant: k.Tenant, ConferenceKey: k.RecordID, Kind: state.ConferenceKind(kind)}, ok
}

func warrantKey(tenant, id string) []byte { return append(tenantKey(tenant), id...) }

func warrantAtKey(tenant string, at time.Time, id string) []byte {
	return append(binary.BigEndian.AppendUint64(tenantKey(tenant), instant(at)), id...)
}

// workKey sorts by due time; FileID is "" for work of a whole recording.
func workKey(f state.FileRef, due uint64) []byte {
	b := binary.BigEndian.AppendUint64(tenantKey(f.Tenant), due)
	return append(appendString(b, f.RecordID), f.FileID...)
}

// transferKey sorts by deadline, then by start.
func transferKey(f state.FileRef, deadline, start uint64) []byte {
	b := binary.BigEndian.AppendUint64(tenantKey(f.Tenant), deadline)
	b = binary.BigEndian.AppendUint64(b, start)
	return append(appendString(b, f.RecordID), f.FileID...)
}

// parseWorkKey reads the first number and the reference behind n numbers.
func parseWorkKey(b []byte, n int) (first uint64, f state.FileRef, ok bool) {
	if f.Tenant, b, ok = cutString(b); !ok || len(b) < 8*n {
		return 0, f, false
	}
	first = binary.BigEndian.Uint64(b)
	if f.RecordID, b, ok = cutString(b[8*n:]); !ok {
		return 0, f, false
	}
	f.FileID = string(b)
	return first, f, true
}

// listKey is a prefix, the time of a recording and its recordId.
func listKey(prefix []byte, at uint64, recordID string) []byte {
	b := append(make([]byte, 0, len(prefix)+8+len(recordID)), prefix...)
	return append(binary.BigEndian.AppendUint64(b, at), recordID...)
}

func statusPrefix(tenant string, s state.Status) []byte {
	return append(tenantKey(tenant), statusCode(s))
}

// conferencePrefix cuts a long conference key: List compares the whole one.
func conferencePrefix(tenant, conference string) []byte {
	return appendString(tenantKey(tenant), conference[:min(len(conference), math.MaxUint8)])
}

// statusCode is what a status is called in a key; 0 if it is none of ours.
func statusCode(s state.Status) byte {
	switch s {
	case state.Waiting:
		return 'w'
	case state.Archiving:
		return 't'
	case state.Archived:
		return 'a'
	case state.Deleting:
		return 'd'
	case state.SourceDeleted:
		return 's'
	case state.DeletionUnconfirmed:
		return 'u'
	case state.Redirected:
		return 'r'
	case state.Quarantined:
		return 'q'
	default:
		return 0
	}
}

// The instants that no time has.
const (
	always uint64 = 0              // the zero time, where it means "at once"
	never  uint64 = math.MaxUint64 // the zero time, where it means "last"
)

// instant maps a time to a number that sorts as time does, in nanoseconds. The
// zero time is always. What nanoseconds of 64 bits cannot tell (before 1678,
// after 2261) becomes the nearest that they can.
func instant(t time.Time) uint64 {
	switch {
	case t.IsZero():
		return always
	case t.Year() < 1678:
		return 1
	case t.Year() > 2261:
		return never - 1
	}
	return uint64(t.UnixNano()) ^ 1<<63
}

func instantOr(t time.Time, zero uint64) uint64 {
	if t.IsZero() {
		return zero
	}
	return instant(t)
}

// instantTime undoes instant, of one that a time has.
func instantTime(n uint64) time.Time { return time.Unix(0, int64(n^1<<63)).UTC() }
