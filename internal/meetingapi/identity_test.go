package meetingapi

import (
	"crypto/sha256"
	"encoding/hex"
	"math"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

func idOf(parts ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return hex.EncodeToString(sum[:])[:16]
}

func TestIdentifySample(t *testing.T) {
	std, ok := standardJSON([]byte(sample(t, "get_records")))
	env, isEnvelope := decodeEnvelope(std)
	if !ok || !isEnvelope {
		t.Fatal("the sample is no envelope")
	}
	got := Identify("asked", items(t, string(env.data)))
	// Pinned: these ids are in states and manifests out there.
	want := [][3]string{
		{"02e555e21dc8dae6b6ea362ebbece8dd", "1866_094309.mp4", idOf("02e555e21dc8dae6b6ea362ebbece8dd", "2019-05-31 01:43:09", "1866_094309.mp4")},
		{"fef892788b675d384764e403781f1b1e", "1866_100151.mp4", idOf("fef892788b675d384764e403781f1b1e", "2017-02-20 01:51:10", "1866_100151.mp4")},
	}
	for i, w := range want {
		if d := cmp.Diff(w, [3]string{got[i].Owner, got[i].Filename, got[i].FileID}); d != "" {
			t.Error(d)
		}
	}
	if got[0].FileID != "c9c37c7abb5777f1" {
		t.Errorf("the first sample's id has become %s", got[0].FileID)
	}
}

// TestIdentitySurvives a new signature, another host, another directory,
// another scheme, and another place in the list.
func TestIdentitySurvives(t *testing.T) {
	a := Item{RecordID: "R", StartRaw: "2019-05-31 01:43:09", DownURL: "http://a.example/2019-05-31/x.mp4?sign=1"}
	want := Identify("R", []Item{a})[0].FileID
	for _, u := range []string{
		"http://a.example/2019-05-31/x.mp4?sign=/2/z.mp4", "https://b.example/x.mp4", "http://a.example/other/x%2Emp4#f",
	} {
		b := a
		b.DownURL, b.StopRaw, b.FileSize, b.ConferenceKey = u, "2019-05-31 02:00:00", 7, "other"
		b.StartRaw = " " + b.StartRaw
		got := Identify("asked", []Item{{RecordID: "other", DownURL: u}, b})
		if got[1].FileID != want || got[0].FileID == want {
			t.Errorf("%s: %s and %s, want %s second", u, got[0].FileID, got[1].FileID, want)
		}
	}
	for name, change := range map[string]func(*Item){
		"recordId": func(it *Item) { it.RecordID = "S" },
		"start":    func(it *Item) { it.StartRaw = "2019-05-31 01:43:10" },
		"filename": func(it *Item) { it.DownURL = "http://a.example/y.mp4" },
	} {
		b := a
		change(&b)
		if Identify("R", []Item{b})[0].FileID == want {
			t.Errorf("another %s, the same identity", name)
		}
	}
}

func TestOwner(t *testing.T) {
	for id, want := range map[string]string{
		"B": "B", "": "asked", "a\nb": "asked", strings.Repeat("x", 65): "asked", strings.Repeat("x", 64): strings.Repeat("x", 64),
	} {
		if got := Identify("asked", []Item{{RecordID: id, DownURL: "http://h/a"}})[0]; got.Owner != want {
			t.Errorf("%q: %q", id, got.Owner)
		}
	}
	if got := Identify("asked", []Item{{RecordID: "B"}})[0]; got.FileID != "" || got.Filename != "" || got.Owner != "B" {
		t.Errorf("without downUrl: %+v", got)
	}
	if got := Identify("asked", nil); len(got) != 0 {
		t.Errorf("%v", got)
	}
}

func TestTies(t *testing.T) {
	tie := func(stop string, size int64, host string) Item {
		return Item{RecordID: "R", StartRaw: "S", StopRaw: stop, FileSize: size, DownURL: "http://" + host + "/f.mp4"}
	}
	list := []Item{
		tie("2", 5, "a"), tie("1", math.MaxInt64, "b"), tie("1", -1, "c"), tie("2", 5, "d"), tie("1", 7, "e"),
		{RecordID: "R", StartRaw: "S", DownURL: "http://z/g.mp4"},
	}
	want := map[string]string{
		"c": idOf("R", "S", "f.mp4"), "e": idOf("R", "S", "f.mp4", "1"), "b": idOf("R", "S", "f.mp4", "2"),
		"a": idOf("R", "S", "f.mp4", "3"), "d": idOf("R", "S", "f.mp4", "4"), "z": idOf("R", "S", "g.mp4"),
	}
	ids := func(list []Item) map[string]string {
		m := map[string]string{}
		for _, i := range Identify("asked", list) {
			m[i.DownURL[len("http://"):][:1]] = i.FileID
		}
		return m
	}
	if d := cmp.Diff(want, ids(list)); d != "" {
		t.Error(d)
	}
	slices.Reverse(list[1:3])
	slices.Reverse(list[4:])
	if d := cmp.Diff(want, ids(list)); d != "" {
		t.Errorf("in another order: %s", d)
	}
}

// TestNoTwoShareAnIdentity even if the vendor writes our separator.
func TestNoTwoShareAnIdentity(t *testing.T) {
	list := []Item{
		{StartRaw: "S", DownURL: "http://h/f"},
		{StartRaw: "S", DownURL: "http://h/f"},
		{StartRaw: "S", DownURL: "http://h/f\x001"},
		{StartRaw: "S", DownURL: "http://h/f%001"},
		{StartRaw: "S\x00f", DownURL: "http://h/1"},
		{StartRaw: "", DownURL: "http://h/f"},
	}
	have := map[string]bool{}
	for _, i := range Identify("R", list) {
		if have[i.FileID] {
			t.Errorf("%q %q: %s again", i.StartRaw, i.DownURL, i.FileID)
		}
		have[i.FileID] = true
	}
}

func TestFilename(t *testing.T) {
	tests := map[string]string{
		"http://h/2019-05-31/1866_094309.mp4?sign=a/b.mp4": "1866_094309.mp4",
		"https://h/a%20b%2Fc.mp4":                          "a b/c.mp4",
		"https://h/%E4%BC%9A%E8%AE%AE.mp4":                 "会议.mp4",
		"https://h/会议.mp4":                                 "会议.mp4",
		"https://h/%25%32%30.mp4":                          "%20.mp4",
		"https://h/100%.mp4":                               "100%.mp4",
		"https://h/%C4%E3.mp4":                             "%C4%E3.mp4",
		"https://h/a%00b.mp4":                              "a%00b.mp4",
		"https://h/a+b.mp4":                                "a+b.mp4",
		"https://h/..":                                     "..",
		"https://h/a.mp4#t=5/x":                            "a.mp4",
		"//h/a.mp4":                                        "a.mp4",
		"h/a.mp4":                                          "a.mp4",
		"a.mp4":                                            "a.mp4",
		"/x//a.mp4":                                        "a.mp4",
		"https://h":                                        "recording",
		"https://h/":                                       "recording",
		"https://h/a/":                                     "recording",
		"https://h?x=/a.mp4":                               "recording",
		"":                                                 "recording",
	}
	for in, want := range tests {
		if got := Filename(in); got != want || !utf8.ValidString(got) {
			t.Errorf("%s: %q, want %q", in, got, want)
		}
	}
}
