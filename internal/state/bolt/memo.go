package bolt

import (
	"bytes"
	"reflect"
	"sync"
	"time"
	"unicode/utf8"

	"archiver/internal/state"
)

const (
	// memoSize is how many recordings, and how many files, are remembered:
	// many times those that are under way at once.
	memoSize = 256
	// minRemembered and maxRemembered are the lengths in bytes of a value that is
	// remembered. A shorter one, such as a recording that waits, is decoded as
	// fast; the other bounds what all of them hold.
	minRemembered = 512
	maxRemembered = 8 << 10
)

// memo remembers what the values that were read or written last say: what is
// read is most often what was read or written a moment ago, by the same
// transfer. It holds each with its bytes and answers for exactly these alone,
// so it can be neither out of date nor ahead of a commit, and needs no part in
// any transaction.
type memo[T any] struct {
	clone func(T) T // nothing is shared with whoever asks

	mu    sync.Mutex
	known map[string]remembered[T]
	ring  []string // the keys, the oldest at next once it is full
	next  int
}

// memos are those of a store.
type memos struct {
	recordings *memo[state.Recording]
	files      *memo[state.File]
}

func newMemos() memos { return memos{newMemo(cloneRecording), newMemo(cloneFile)} }

type remembered[T any] struct {
	stored []byte
	value  T
}

func newMemo[T any](clone func(T) T) *memo[T] {
	return &memo[T]{clone: clone, known: make(map[string]remembered[T], memoSize)}
}

// recall returns what the value stored under key says, if that is remembered.
func (m *memo[T]) recall(key, stored []byte) (value T, ok bool) {
	if !memorable(stored) {
		return value, false
	}
	m.mu.Lock()
	found, ok := m.known[string(key)]
	m.mu.Unlock()
	if !ok || !bytes.Equal(found.stored, stored) {
		return value, false
	}
	return m.clone(found.value), true
}

// remember takes what stored says, which is memorable and not changed any more.
func (m *memo[T]) remember(key, stored []byte, value T) {
	value = m.clone(value)
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, ok := m.known[string(key)]; !ok {
		k := string(key)
		if len(m.ring) < memoSize {
			m.ring = append(m.ring, k)
		} else {
			delete(m.known, m.ring[m.next])
			m.ring[m.next] = k
			m.next = (m.next + 1) % memoSize
		}
	}
	m.known[string(key)] = remembered[T]{stored, value}
}

func memorable(stored []byte) bool {
	return len(stored) >= minRemembered && len(stored) <= maxRemembered
}

// cloneFile copies what a file points to.
func cloneFile(f state.File) state.File {
	f.Vendor = bytes.Clone(f.Vendor)
	if f.Version != nil {
		v := *f.Version
		f.Version = &v
	}
	if f.Upload != nil {
		u := *f.Upload
		f.Upload = &u
	}
	return f
}

// cloneRecording copies a recording without its files, which are stored apart.
func cloneRecording(r state.Recording) state.Recording {
	r.Files = nil
	return r
}

// sameRecording reports whether two versions of a recording are stored alike.
func sameRecording(a, b state.Recording) bool {
	if a.Status != b.Status || a.Poll != b.Poll || a.Manifest != b.Manifest {
		return false // what changes most often, compared at less cost
	}
	a.Files, b.Files = nil, nil
	return reflect.DeepEqual(a, b)
}

// fileSurvives reports whether a file that was changed is the same once it is
// written and read again; old is what it was when it was read.
func fileSurvives(old, f state.File) bool {
	if !bytes.Equal(old.Vendor, f.Vendor) {
		return false
	}
	f.Vendor = nil // encoding leaves alone what was read
	return survives(reflect.ValueOf(&f).Elem())
}

func recordingSurvives(r state.Recording) bool {
	r.Files = nil
	return survives(reflect.ValueOf(&r).Elem())
}

// survives reports whether v, which is addressable, is the same once it is
// encoded as JSON and decoded again, as far as that is certain. It is not of a
// time of another zone, which is not the same one then, and of text that is no
// valid UTF-8.
func survives(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.Bool, reflect.Int, reflect.Int32, reflect.Int64, reflect.Uint64:
		return true
	case reflect.String:
		return utf8.ValidString(v.String())
	case reflect.Pointer:
		return v.IsNil() || survives(v.Elem())
	case reflect.Slice:
		return v.IsNil()
	case reflect.Struct:
		if !v.CanInterface() {
			return false
		}
		if t, ok := reflect.TypeAssert[*time.Time](v.Addr()); ok {
			return *t == t.Round(0).UTC() //nolint:staticcheck // of the representation, not of the instant
		}
		for _, f := range v.Fields() {
			if !survives(f) {
				return false
			}
		}
		return true
	default:
		return false
	}
}

// recallJSON is unsealJSON of a value that may be remembered.
func recallJSON[T any](m *memo[T], bucket string, key, stored []byte) (value T, err error) {
	value, ok := m.recall(key, stored)
	if ok {
		return value, nil
	}
	if err := unsealJSON(bucket, key, stored, &value); err != nil {
		return value, err
	}
	if memorable(stored) {
		m.remember(key, bytes.Clone(stored), value)
	}
	return value, nil
}
