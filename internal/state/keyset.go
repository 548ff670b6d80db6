package state

import (
	"encoding/hex"
	"iter"
	"slices"
	"strings"
)

// KeySet is a set of keys, ascending by tenant and then by recordId. A key takes
// the bytes of its recordId, half of them if it is hexadecimal as the vendor's
// are, and 8 more, in few pieces: a million take 24 MB and cost the garbage
// collector nothing. nil is an empty one. It never changes.
type KeySet struct {
	tenants []string
	text    []string // recordIds, one behind the other
	refs    []keyRef
}

// keyRef is where the recordId of a key lies.
type keyRef struct {
	at     uint32 // which text, and the byte in it
	length uint16 // bytes there, and packed
	tenant uint16
}

const (
	// textSize is how many bytes of recordIds lie together.
	textSize = 1 << 16
	// packed are lower-case hexadecimal digits, two a byte: their order is
	// that of the digits.
	packed = 1 << 15
)

// raw returns what lies where a key says.
func (s *KeySet) raw(r keyRef) string {
	at := r.at % textSize
	return s.text[r.at/textSize][at : at+uint32(r.length&^packed)]
}

func (s *KeySet) compare(a keyRef, tenant, raw string, isPacked bool) int {
	if c := strings.Compare(s.tenants[a.tenant], tenant); c != 0 {
		return c
	}
	if is := a.length&packed != 0; is != isPacked {
		return strings.Compare(unpacked(s.raw(a), is), unpacked(raw, isPacked))
	}
	return strings.Compare(s.raw(a), raw)
}

func unpacked(raw string, isPacked bool) string {
	if !isPacked {
		return raw
	}
	var digits [128]byte
	return string(hex.AppendEncode(digits[:0], []byte(raw)))
}

// appendPacked appends a recordId, packed if it can be.
func appendPacked(b []byte, id string) (_ []byte, isPacked bool) {
	begun := len(b)
	for i := 0; i+1 < len(id); i += 2 {
		hi, lo := digit(id[i]), digit(id[i+1])
		if hi|lo > 0xf {
			return append(b[:begun], id...), false
		}
		b = append(b, hi<<4|lo)
	}
	if len(id) == 0 || len(id)%2 != 0 {
		return append(b[:begun], id...), false
	}
	return b, true
}

// digit is the value of a lower-case hexadecimal digit; 0xff for others.
func digit(c byte) byte {
	switch {
	case '0' <= c && c <= '9':
		return c - '0'
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10
	}
	return 0xff
}

// KeySetOf returns the set of some keys.
func KeySetOf(keys ...Key) *KeySet {
	var b KeySetBuilder
	for _, k := range keys {
		b.Add(k)
	}
	return b.Set()
}

// Len is how many keys there are.
func (s *KeySet) Len() int {
	if s == nil {
		return 0
	}
	return len(s.refs)
}

// At returns the i-th key, 0 to Len()-1.
func (s *KeySet) At(i int) Key {
	r := s.refs[i]
	return Key{Tenant: s.tenants[r.tenant], RecordID: unpacked(s.raw(r), r.length&packed != 0)}
}

// Find returns where a key is; false if it is not in the set.
func (s *KeySet) Find(k Key) (int, bool) {
	if s == nil {
		return 0, false
	}
	raw, isPacked := appendPacked(nil, k.RecordID)
	return slices.BinarySearchFunc(s.refs, string(raw), func(r keyRef, raw string) int { return s.compare(r, k.Tenant, raw, isPacked) })
}

// All yields the keys in their order, each with its place.
func (s *KeySet) All() iter.Seq2[int, Key] {
	return func(yield func(int, Key) bool) {
		for i := range s.Len() {
			if !yield(i, s.At(i)) {
				return
			}
		}
	}
}

// KeySetBuilder collects keys in any order, also several times. The zero value
// is ready.
type KeySetBuilder struct {
	set    KeySet
	tenant map[string]uint16
	open   []byte // the text that is being filled
}

// Add adds a key, of which it keeps a copy. Tenants are those of a
// configuration, at most 65,536; a recordId has less than 32 KiB, of which no
// vendor and no store of ours takes as many.
func (b *KeySetBuilder) Add(k Key) {
	t, ok := b.tenant[k.Tenant]
	if !ok {
		if b.tenant == nil {
			b.tenant = map[string]uint16{}
		}
		t = uint16(len(b.set.tenants)) //nolint:gosec // see above
		name := strings.Clone(k.Tenant)
		b.tenant[name], b.set.tenants = t, append(b.set.tenants, name)
	}
	if len(b.open)+len(k.RecordID) > textSize {
		b.seal()
	}
	at, isPacked := len(b.open), false
	b.open, isPacked = appendPacked(b.open, k.RecordID)
	r := keyRef{
		at:     uint32(len(b.set.text)*textSize + at), //nolint:gosec // 4 GiB of recordIds
		length: uint16(len(b.open) - at), tenant: t,   //nolint:gosec // see above
	}
	if isPacked {
		r.length |= packed
	}
	b.set.refs = append(b.set.refs, r)
}

func (b *KeySetBuilder) seal() {
	b.set.text = append(b.set.text, string(b.open))
	b.open = b.open[:0]
}

// Len is how many keys were added, those that came again included.
func (b *KeySetBuilder) Len() int { return len(b.set.refs) }

// Set returns what was added and leaves the builder empty.
func (b *KeySetBuilder) Set() *KeySet {
	b.seal()
	s := b.set
	slices.SortFunc(s.refs, func(x, y keyRef) int { return s.compare(x, s.tenants[y.tenant], s.raw(y), y.length&packed != 0) })
	s.refs = slices.CompactFunc(s.refs, func(x, y keyRef) bool {
		return x.tenant == y.tenant && x.length == y.length && s.raw(x) == s.raw(y)
	})
	*b = KeySetBuilder{}
	return &s
}
