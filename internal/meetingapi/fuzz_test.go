package meetingapi

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/google/go-cmp/cmp"
)

// addSamples adds every answer of the vendor's document.
func addSamples(f *testing.F, add func(string)) {
	f.Helper()
	files, err := filepath.Glob(filepath.Join("testdata", "*.json"))
	if err != nil || len(files) != 7 {
		f.Fatalf("%d samples, %v", len(files), err)
	}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		add(string(b))
	}
}

// FuzzListing: no answer makes the decoder panic, and what it decodes gets
// distinct identities that survive another decoding and a new signature.
func FuzzListing(f *testing.F) {
	addSamples(f, func(s string) { f.Add([]byte(s)) })
	for _, s := range []string{
		success, `{"code":200,"state":1,"data":{"recordId":1}}`, "\xef\xbb\xbf{}", `[1,]`, `{"a":NaN,}`, `"\`, ``,
		`{"state":1,"code":"200","data":[{"downUrl":"http://h/a?b"},{"downUrl":"http://h/a"},{"downUrl":"x"},7,null]}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		env, ok := decodeEnvelope(body)
		if !ok {
			return
		}
		list, err := decodeItems(env.data, time.UTC)
		if err != nil {
			return
		}
		again := make([]Item, len(list))
		ids := Identify("asked", list)
		have := map[string]bool{}
		for i, id := range ids {
			if !json.Valid(id.Raw) || !ValidRecordID(id.Owner) || id.FileSize == 0 || id.FileSize < -1 {
				t.Fatalf("item %d: %+v", i, id)
			}
			if (id.FileID == "") != (id.DownURL == "") || id.FileID != "" && have[id.FileID] {
				t.Fatalf("item %d: identity %q", i, id.FileID)
			}
			have[id.FileID] = true
			again[i] = decodeItem(id.Raw, time.UTC)
			if path, _, _ := strings.Cut(again[i].DownURL, "?"); path != "" {
				again[i].DownURL = path + "?another=signature"
			}
		}
		for i, id := range Identify("asked", again) {
			if d := cmp.Diff([2]string{ids[i].Owner, ids[i].FileID}, [2]string{id.Owner, id.FileID}); d != "" {
				t.Fatalf("item %d: %s", i, d)
			}
		}
	})
}

// FuzzExpiry: no URL makes it panic, and what it finds can be written down.
func FuzzExpiry(f *testing.F) {
	for _, s := range []string{
		"http://h/a?sign=tchXRYvuIsDY46D3297KGdceQllhPTEwMDQ1OTYwJmU9MTU3MTYyMTYxNSZ0PTE1NzEwMTY4MTU",
		"http://h/a?q-sign-time=1571016815;1571621615", "http://h/a?Expires=1571621615",
		"http://h/a?X-Amz-Date=20191014T013335Z&X-Amz-Expires=604800", "?x--date=00010101T000000Z&x--expires=1", "%",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, u string) {
		at, ok := Expiry(u)
		if ok == at.IsZero() {
			t.Fatalf("%v, %v", at, ok)
		}
		if _, err := json.Marshal(at); err != nil {
			t.Fatal(err)
		}
		if name := Filename(u); name == "" {
			t.Fatal("no file name")
		}
		if s := RedactURL(u); strings.ContainsAny(s, "?#") || strings.ContainsFunc(s, unicode.IsControl) {
			t.Fatalf("redacted to %q", s)
		}
	})
}

var anyURL = regexp.MustCompile(`[A-Za-z][A-Za-z0-9+.-]*://[^\s"<>]*`)

// FuzzRedact: valid JSON stays valid and keeps its numbers, no URL in it keeps
// a query, a fragment or user info, redacting again changes nothing, and what
// is not looked at would not have been changed.
func FuzzRedact(f *testing.F) {
	addSamples(f, func(s string) { f.Add(s) })
	for _, s := range []string{
		`"http://u:p@h/a?b#c"`, `"see http:\/\/u:p@h\/a?b=c d=e"`, `["x//y@z","http:////a@b//c@d"]`, `{"a@b//c?d":"\ud800"}`, `"{\"u\":\"http:\\/\\/h?x\"}"`, `"0//0@/0@0"`,
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, in string) {
		std, ok := standardJSON([]byte(in))
		if !ok {
			std = []byte(in)
		}
		out := RedactItem(std)
		if !json.Valid(out) {
			t.Fatalf("no JSON: %s", out)
		}
		if again := RedactItem(out); string(again) != string(out) {
			t.Fatalf("%s\nredacted again\n%s", out, again)
		}
		for i := 0; i < len(out); i++ {
			if out[i] != '"' {
				continue
			}
			end := stringEnd(out, i)
			var s string
			if err := json.Unmarshal(out[i:end], &s); err != nil {
				t.Fatal(err)
			}
			if plain(out[i:end]) && redactText(s) != s {
				t.Fatalf("%q passes for plain", s)
			}
			i = end - 1
			for _, u := range anyURL.FindAllString(s, -1) {
				_, rest, _ := strings.Cut(u, "://")
				authority, _, _ := strings.Cut(rest, "/")
				if strings.ContainsAny(rest, "?#") || strings.Contains(authority, "@") {
					t.Fatalf("%s in %s", strconv.Quote(u), out)
				}
			}
		}
		if got := clean(in, "secret"); strings.Contains(got, "secret") && !strings.Contains(got, "<secret>") || len(got) > maxEvidence {
			t.Fatalf("%q", got)
		}
	})
}

func benchmarkBody(n int) []byte {
	const item = `{"recordId":"02e555e21dc8dae6b6ea362ebbece8dd","conferenceKey":"1866","entId":52,"startTime":"2019-05-31 01:43:09",` +
		`"fileSize":1027797,"stopTime":"2019-05-31 01:43:23","downUrl":"http://xxxxxxx.cossh.myqcloud.com/2019-05-31/1866_094309.mp4?sign=` +
		`tchXRYvuIsDY46D3297KGdceQllhPTEwMDQ1OTYwJmI9ZTUyJms9QUtJRGFCeG5oWW5yUkdEM29Vc3BSN3JXMVY1WjBPaDA2dlpHJmU9MTU3MTYyMTYxNSZ0PTE1NzEwMTY4MTUmcj0xNDk2NDYwMDY4JmY9"},`
	return []byte(`{"code":"200","state":1,"message":null,"data":[` + strings.Repeat(item, n) + `]}`)
}

func BenchmarkDecode(b *testing.B) {
	for _, n := range []int{1, 100, maxItems} {
		body := benchmarkBody(n)
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			b.SetBytes(int64(len(body)))
			b.ReportAllocs()
			for b.Loop() {
				env, ok := decodeEnvelope(body)
				if !ok {
					b.Fatal("no envelope")
				}
				if list, err := decodeItems(env.data, time.UTC); err != nil || len(list) != n {
					b.Fatal(len(list), err)
				}
			}
		})
	}
}

func BenchmarkIdentify(b *testing.B) {
	env, _ := decodeEnvelope(benchmarkBody(100))
	list, err := decodeItems(env.data, time.UTC)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		Identify("asked", list)
	}
}
