package main

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"archiver/internal/apitype"
)

func TestLocalName(t *testing.T) {
	long := strings.Repeat("é", 200)
	for from, want := range map[string]string{
		"1866_094309.mp4":      "1866_094309.mp4",
		"Weekly, long talk é":  "Weekly, long talk é",
		"../../etc/passwd":     "_._.._etc_passwd",
		`..\..\boot.ini`:       `_._.._boot.ini`,
		".":                    "_",
		"..":                   "_.",
		".profile":             "_profile",
		"-rf":                  "_rf",
		"~root":                "_root",
		"C:x.mp4":              "C_x.mp4",
		"a\x00b\n\x1b[31m.mp4": "a_b__[31m.mp4",
		"a\u202egpj.exe":       "a_gpj.exe",
		"a\xffb":               "a_b",
		"":                     "0123456789abcdef",
		long + ".mp4":          strings.Repeat("é", 125) + ".mp4",
		"a." + long:            "a." + strings.Repeat("é", 126),
	} {
		got := localName(from, "0123456789abcdef", "")
		if got != want {
			t.Errorf("%q: %q, want %q", from, got, want)
		}
	}
	marked := localName(long+".mp4", "id", "~0123456789abcdef")
	if len(marked) > longestName || !strings.HasSuffix(marked, "é~0123456789abcdef.mp4") {
		t.Errorf("%d bytes: %s", len(marked), marked)
	}
}

func TestLocalNames(t *testing.T) {
	file := func(name, id string) wantedFile {
		return wantedFile{FileDetail: apitype.FileDetail{File: apitype.File{Filename: name, FileID: id}}}
	}
	files := []wantedFile{file("a.mp4", "1"), file("b.mp4", "2"), file("A.MP4", "3")}
	localNames(files)
	var got []string
	for _, f := range files {
		got = append(got, f.name)
	}
	if d := cmp.Diff([]string{"a~1.mp4", "b.mp4", "A~3.MP4"}, got); d != "" {
		t.Error(d)
	}
}
