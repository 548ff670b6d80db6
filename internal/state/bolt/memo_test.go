package bolt_test

import (
	"bytes"
	"encoding/json"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"archiver/internal/state"
	"archiver/internal/state/bolt"
)

// long makes a recording long enough to be remembered.
func long() state.Change { return state.Polled{Poll: state.Poll{Error: strings.Repeat("busy ", 200)}} }

var (
	shanghai = time.FixedZone("", 8*3600)
	noon     = time.Date(2026, 1, 1, 12, 0, 0, 123, time.UTC)
)

// odd are listings and errors that are not the same once they were written.
func odd(id string) map[string][]state.Change {
	file := state.Discover{FileID: id, Keys: []string{"k"}, Listing: state.Listing{DeclaredSize: 1, Start: noon, Vendor: json.RawMessage(`{ "a":"` + strings.Repeat("a", 500) + `"}`)}}
	relisted := file.Listing
	relisted.Start = noon.In(shanghai)
	relisted.Deadline = time.Now()
	relisted.Vendor = bytes.ReplaceAll(file.Listing.Vendor, []byte(" "), nil) // as it was stored
	return map[string][]state.Change{
		"item with blanks":  {file},
		"another zone":      {file, state.Relist{FileID: id, Listing: relisted}},
		"broken text":       {file, state.Fail{FileID: id, Error: "a\xffb", RetryAt: noon, Counts: true}},
		"zone of a poll":    {state.Polled{Poll: state.Poll{NextAt: noon.In(shanghai), Error: strings.Repeat("busy ", 200)}}},
		"broken conference": {state.Describe{ConferenceKey: "c\xff", Start: noon}},
	}
}

// TestRememberedAsStored: whatever is written, it is read in the same way from
// memory as from the file.
func TestRememberedAsStored(t *testing.T) {
	t.Parallel()
	for name, changes := range odd("f") {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "state.db")
			s := openAt(t, path)
			k := state.Key{Tenant: "acme", RecordID: "r"}
			read := func() state.Recording {
				t.Helper()
				r, err := s.Get(t.Context(), k)
				must(t, err)
				return r
			}
			for _, c := range append([]state.Change{state.Track{}, long(), state.Hold{On: true}}, changes...) {
				_, err := s.Update(t.Context(), k, state.Do(c))
				must(t, err)
				before := read()
				must(t, s.Close())
				s = openAt(t, path)
				if after := read(); !reflect.DeepEqual(before, after) {
					t.Errorf("after %T it is\n%+v\nin memory and\n%+v\nin the file", c, before, after)
				}
			}
		})
	}
}

// TestNothingIsShared: what a caller does to a recording reaches nobody else.
func TestNothingIsShared(t *testing.T) {
	t.Parallel()
	s := openAt(t, filepath.Join(t.TempDir(), "state.db"))
	k := state.Key{Tenant: "acme", RecordID: "r"}
	spoil := func(r state.Recording) {
		f := r.Files[0]
		f.Version.ETag, f.Upload.ID, f.Vendor[2] = "spoilt", "spoilt", 'x'
	}
	_, err := s.Update(t.Context(), k, state.Do(
		state.Track{}, state.Discover{FileID: "f", Keys: []string{"k"}, Listing: state.Listing{Vendor: json.RawMessage(`{"a":"` + strings.Repeat("a", 500) + `"}`)}},
		state.Start{FileID: "f"}, state.Pin{FileID: "f"}, state.IntendUpload{FileID: "f", PartSize: 5},
	))
	must(t, err)
	want, err := s.Get(t.Context(), k)
	must(t, err)
	for range 2 {
		r, err := s.Update(t.Context(), k, func(r state.Recording) ([]state.Change, error) {
			return []state.Change{state.Hold{On: !r.Hold}, state.Fail{FileID: "f", Error: "x" + r.Files[0].Error}}, nil
		})
		must(t, err)
		want.Hold, want.Files[0].Error = r.Hold, r.Files[0].Error
		spoil(r)
		for range 2 {
			got, err := s.Get(t.Context(), k)
			must(t, err)
			if d := cmp.Diff(want, got); d != "" {
				t.Fatalf("(-want +got):\n%s", d)
			}
			spoil(got)
		}
	}
}

// TestMoreThanIsRemembered: what is remembered has its limit, and what was
// forgotten is read again.
func TestMoreThanIsRemembered(t *testing.T) {
	t.Parallel()
	s := openAt(t, filepath.Join(t.TempDir(), "state.db"))
	keys := ids(bolt.MemoSize * 2)
	for _, k := range keys {
		_, err := s.Update(t.Context(), k, state.Do(state.Track{}, long()))
		must(t, err)
	}
	for range 2 {
		for _, k := range keys {
			r, err := s.Get(t.Context(), k)
			must(t, err)
			if r.ID() != k || r.Status != state.Waiting {
				t.Fatalf("%s is %+v", k, r)
			}
		}
	}
	if n := s.Remembered(); n != bolt.MemoSize {
		t.Errorf("%d are remembered", n)
	}
}

// TestSurvives fills each field that is stored: what is said to survive does.
func TestSurvives(t *testing.T) {
	t.Parallel()
	var f, read state.File
	fill(t, reflect.ValueOf(&f).Elem())
	f.Vendor = json.RawMessage(`{"a":1}`)
	again(t, f, &read)
	if !bolt.FileSurvives(state.File{Vendor: f.Vendor}, f) || !reflect.DeepEqual(f, read) {
		t.Errorf("a file becomes another one (-want +got):\n%s", cmp.Diff(f, read))
	}
	var r, readRecording state.Recording
	fill(t, reflect.ValueOf(&r).Elem())
	r.Files = nil
	again(t, r, &readRecording)
	if !bolt.RecordingSurvives(r) || !reflect.DeepEqual(r, readRecording) {
		t.Errorf("a recording becomes another one (-want +got):\n%s", cmp.Diff(r, readRecording))
	}
	for name, spoil := range map[string]func(*state.File){
		"another item":       func(f *state.File) { f.Vendor = json.RawMessage(`{ "a":1}`) },
		"another zone":       func(f *state.File) { f.Upload.IntendedAt = noon.In(shanghai) },
		"a monotonic time":   func(f *state.File) { f.Object.LastModified = time.Now() },
		"text that is none":  func(f *state.File) { f.Version.ETag = "\xff" },
		"a zero elsewhere":   func(f *state.File) { f.StoredAt = time.Time{}.In(shanghai) },
		"text of a key type": func(f *state.File) { f.Reason = "\xff" },
	} {
		g := f
		u, v := *f.Upload, *f.Version
		g.Upload, g.Version = &u, &v
		spoil(&g)
		if bolt.FileSurvives(state.File{Vendor: f.Vendor}, g) {
			t.Errorf("%s survives", name)
		}
	}
}

// again writes v and reads it.
func again(t *testing.T, v, into any) {
	t.Helper()
	text, err := json.Marshal(v)
	must(t, err)
	must(t, json.Unmarshal(text, into))
}

// fill gives each field a value other than zero.
func fill(t *testing.T, v reflect.Value) {
	t.Helper()
	switch v.Kind() {
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[time.Time]() {
			v.Set(reflect.ValueOf(noon))
			return
		}
		for i := range v.NumField() {
			if v.Type().Field(i).Tag.Get("json") != "-" {
				fill(t, v.Field(i))
			}
		}
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(t, v.Elem())
	case reflect.String:
		v.SetString(strings.Repeat("ü<", 2))
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int32, reflect.Int64:
		v.SetInt(1 << 30)
	case reflect.Uint64:
		v.SetUint(1 << 63)
	case reflect.Slice: // the item
	default:
		t.Fatalf("a field of kind %s: is it remembered as it is stored?", v.Kind())
	}
}
