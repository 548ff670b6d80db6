package objectkey_test

import (
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"archiver/internal/objectkey"
	"pgregory.net/rapid"
)

// anyValue draws what a vendor might send: arbitrary bytes, arbitrary text,
// and text made of what is special to keys.
func anyValue() *rapid.Generator[string] {
	return rapid.OneOf(
		rapid.Map(rapid.SliceOfN(rapid.Byte(), 0, 40), func(b []byte) string { return string(b) }),
		rapid.String(),
		rapid.StringMatching(`[./%_~A\\2EF5]{0,8}`),
		rapid.Map(rapid.IntRange(900, 1100), func(n int) string { return strings.Repeat("录", n/3) + ".mp4" }),
	)
}

func anyValues(t *rapid.T, label string) objectkey.Values {
	var start time.Time
	if rapid.Bool().Draw(t, label+" started") {
		start = time.Unix(rapid.Int64Range(0, 4e9).Draw(t, label+" start"), 0)
	}
	return objectkey.Values{
		Tenant:        anyValue().Draw(t, label+" tenant"),
		ConferenceKey: anyValue().Draw(t, label+" conference"),
		RecordID:      anyValue().Draw(t, label+" record"),
		FileID:        anyValue().Draw(t, label+" file"),
		Filename:      anyValue().Draw(t, label+" name"),
		EntID:         anyValue().Draw(t, label+" ent"),
		Start:         start,
		Stop:          start,
	}
}

// checkKey says what is wrong with a key, "" if nothing.
func checkKey(key string) string {
	switch {
	case key == "":
		return "empty"
	case len(key) > objectkey.MaxBytes:
		return "too long"
	case !utf8.ValidString(key):
		return "not UTF-8"
	case strings.ContainsFunc(key, unicode.IsControl):
		return "control character"
	case strings.Contains(key, `\`):
		return "backslash"
	}
	for segment := range strings.SplitSeq(key, "/") {
		if segment == "" || segment == "." || segment == ".." {
			return "segment " + segment
		}
	}
	return ""
}

func TestKeysAreValid(t *testing.T) {
	templates := []*objectkey.Template{
		mustParse(t, defaultKey),
		mustParse(t, "{file_id}"),
		mustParse(t, ".{ext}/.{filename}/{record_id}.{ext}{ent_id}{conference_key}"),
		mustParse(t, "{record_id}{start:.%Y/}.{stop:%H}{filename}"),
	}
	rapid.Check(t, func(t *rapid.T) {
		v := anyValues(t, "v")
		for _, template := range templates {
			key := template.Render(v, nil)
			if bad := checkKey(key); bad != "" {
				t.Fatalf("%s: %s: %q", template, bad, key)
			}
			moved := objectkey.WithFileID(key, v.FileID)
			if bad := checkKey(moved); bad != "" || moved == key {
				t.Fatalf("WithFileID: %s: %q from %q", bad, moved, key)
			}
		}
	})
}

// One placeholder alone: different values, different keys. Cut keys are as
// different as their file ids.
func TestOneValueIsInjective(t *testing.T) {
	template := mustParse(t, "{record_id}")
	rapid.Check(t, func(t *rapid.T) {
		a, b := anyValue().Draw(t, "a"), anyValue().Draw(t, "b")
		keyA := template.Render(objectkey.Values{RecordID: a, FileID: "1"}, nil)
		keyB := template.Render(objectkey.Values{RecordID: b, FileID: "2"}, nil)
		if (a == b) != (keyA == keyB) && len(a) < 300 {
			t.Fatalf("%q and %q give %q and %q", a, b, keyA, keyB)
		}
		if a != b && keyA == keyB {
			t.Fatalf("%q and %q both give %q", a, b, keyA)
		}
	})
}

// All values of the default template together: it separates them by slashes,
// so no value can pretend to be two.
func TestDefaultKeyIsInjective(t *testing.T) {
	template := mustParse(t, defaultKey)
	rapid.Check(t, func(t *rapid.T) {
		draw := func(label string) objectkey.Values {
			special := rapid.StringMatching(`[./%_2F5]{0,4}`)
			return objectkey.Values{
				Tenant:        special.Draw(t, label+" tenant"),
				ConferenceKey: special.Draw(t, label+" conference"),
				RecordID:      special.Draw(t, label+" record"),
				Filename:      special.Draw(t, label+" name"),
			}
		}
		a, b := draw("a"), draw("b")
		if a != b && template.Render(a, nil) == template.Render(b, nil) {
			t.Fatalf("%+v and %+v both give %q", a, b, template.Render(a, nil))
		}
	})
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		defaultKey, "manifests/{tenant}/{record_id}.json", "{record_id}/{start:%Y}", "{", "}", "{record_id", "{start:%",
		"a//{file_id}", "../{file_id}", "{file_id}{start:/%Y}", "\xff{file_id}", "{file_id}/{start:\xff%Y}", "{start:%\xff}{file_id}",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, template string) {
		for _, parse := range []func(string) (*objectkey.Template, error){objectkey.Parse, objectkey.ParseManifest} {
			parsed, err := parse(template)
			if (err == nil) == (parsed == nil) {
				t.Fatalf("%q: %v and %v", template, parsed, err)
			}
			if err != nil {
				continue
			}
			for _, v := range []objectkey.Values{sample(), {}, {Filename: "..", RecordID: ".", FileID: "/", Tenant: "//"}} {
				if bad := checkKey(parsed.Render(v, nil)); bad != "" {
					t.Fatalf("%q renders a bad key: %s: %q", template, bad, parsed.Render(v, nil))
				}
			}
		}
	})
}

func FuzzRender(f *testing.F) {
	f.Add("acme", "11111111", "02e5", "0a1b", "1866_094309.mp4", int64(1559266989))
	f.Add("", "", "", "", "", int64(0))
	f.Add("..", "/", "%", "_", "a\x00\xff\u2028.mp4", int64(-1))
	f.Add("t", "c", strings.Repeat("录", 400), strings.Repeat("%", 200), strings.Repeat("\\", 1024)+".mp4", int64(1))
	template := mustParse(f, "{tenant}/{start:%Y/%m/%d}/{conference_key}/{record_id}/{file_id}{filename}.{ext}")
	f.Fuzz(func(t *testing.T, tenant, conference, record, file, name string, start int64) {
		v := objectkey.Values{Tenant: tenant, ConferenceKey: conference, RecordID: record, FileID: file, Filename: name}
		if start != 0 {
			v.Start = time.Unix(start%1e11, 0)
		}
		key := template.Render(v, nil)
		if bad := checkKey(key); bad != "" {
			t.Fatalf("%s: %q", bad, key)
		}
		if moved := objectkey.WithFileID(key, file); checkKey(moved) != "" || moved == key {
			t.Fatalf("%s: %q from %q", checkKey(moved), moved, key)
		}
	})
}
