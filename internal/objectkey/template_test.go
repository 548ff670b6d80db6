package objectkey_test

import (
	"strings"
	"testing"
	"time"

	"archiver/internal/objectkey"
)

const defaultKey = "{tenant}/{start:%Y/%m/%d}/{conference_key}/{record_id}/{filename}"

// sample is the first item of getRecords' sample answer in the vendor's
// document.
func sample() objectkey.Values {
	return objectkey.Values{
		Tenant:        "acme",
		ConferenceKey: "11111111",
		RecordID:      "02e519d8d4c2402c92bcfd1e1b2c1c0c",
		FileID:        "0a1b2c3d",
		Filename:      "1866_094309.mp4",
		EntID:         "52",
		Start:         time.Date(2019, 5, 31, 1, 43, 9, 0, time.UTC),
		Stop:          time.Date(2019, 5, 31, 1, 44, 12, 0, time.UTC),
	}
}

func mustParse(t testing.TB, template string) *objectkey.Template {
	t.Helper()
	parsed, err := objectkey.Parse(template)
	if err != nil {
		t.Fatalf("Parse(%q): %v", template, err)
	}
	return parsed
}

func with(change func(*objectkey.Values)) objectkey.Values {
	v := sample()
	change(&v)
	return v
}

func TestRender(t *testing.T) {
	tokyo := time.FixedZone("JST", 9*3600)
	tests := []struct {
		name, template string
		values         objectkey.Values
		zone           *time.Location
		want           string
	}{
		{"the default", defaultKey, sample(), nil, "acme/2019/05/31/11111111/02e519d8d4c2402c92bcfd1e1b2c1c0c/1866_094309.mp4"},
		{
			"every placeholder", "{tenant}-{conference_key}-{record_id}-{file_id}-{filename}-{ext}-{ent_id}-{start:%H%M%S}-{stop:%H.%M.%S}", sample(), nil,
			"acme-11111111-02e519d8d4c2402c92bcfd1e1b2c1c0c-0a1b2c3d-1866_094309.mp4-mp4-52-014309-01.44.12",
		},
		{"the zone moves the day", "{start:%Y/%m/%d %H}/{record_id}", with(func(v *objectkey.Values) { v.Start = v.Start.Add(15 * time.Hour) }), tokyo, "2019/06/01 01/02e519d8d4c2402c92bcfd1e1b2c1c0c"},
		{
			"all verbs", "{record_id}/{start:%C %F %G %H %I %M %S %U %V %W %Y %d %g %j %m %u %w %y}", with(func(v *objectkey.Values) { v.RecordID = "r" }), nil,
			"r/20 2019-05-31 2019 01 01 43 09 21 22 21 2019 31 19 151 05 5 5 19",
		},
		{"no times", defaultKey, with(func(v *objectkey.Values) { v.Start = time.Time{} }), nil, "acme/unknown/11111111/02e519d8d4c2402c92bcfd1e1b2c1c0c/1866_094309.mp4"},
		{"nothing known", defaultKey, objectkey.Values{}, nil, "_/unknown/_/_/_"},
		{"nothing in words", defaultKey, objectkey.Values{Tenant: "_", ConferenceKey: "unknown", RecordID: "%5F", Filename: "__"}, nil, "%5F/unknown/unknown/%255F/__"},
		{"dots", "{record_id}/{filename}", objectkey.Values{RecordID: ".", Filename: ".."}, nil, "%2E/%2E%2E"},
		{"more dots", "{record_id}/{filename}", objectkey.Values{RecordID: "...a", Filename: "a..b."}, nil, "%2E%2E.a/a%2E.b%2E"},
		{"dots across pieces", "{record_id}/..{filename}", objectkey.Values{RecordID: "r", Filename: ".x"}, nil, "r/..%2Ex"},
		{"slashes", "{record_id}/{filename}", objectkey.Values{RecordID: "../../etc", Filename: `a\b/c`}, nil, "%2E.%2F%2E.%2Fetc/a%5Cb%2Fc"},
		{"percent", "{record_id}", objectkey.Values{RecordID: "100%/%2F"}, nil, "100%25%2F%252F"},
		{"controls", "{record_id}", objectkey.Values{RecordID: "a\x00\n\x7f\u0085\u2028b"}, nil, "a%00%0A%7F%C2%85%E2%80%A8b"},
		{"not XML", "{record_id}", objectkey.Values{RecordID: "\uFFFE\uFFFF\uFDD0\U0001FFFE"}, nil, "%EF%BF%BE%EF%BF%BF%EF%B7%90%F0%9F%BF%BE"},
		{"not UTF-8", "{record_id}", objectkey.Values{RecordID: "a\xff\xc3\uFFFD"}, nil, "a%FF%C3\uFFFD"},
		{"Chinese stays", "{record_id}/{filename}", objectkey.Values{RecordID: "r", Filename: "会议 录制.mp4"}, nil, "r/会议 录制.mp4"},
		{"no extension", "{record_id}.{ext}", objectkey.Values{RecordID: "r", Filename: "README"}, nil, "r._"},
		{"adjacent", "{record_id}{ext}x", sample(), nil, "02e519d8d4c2402c92bcfd1e1b2c1c0cmp4x"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got := mustParse(t, test.template).Render(test.values, test.zone); got != test.want {
				t.Errorf("got  %q\nwant %q", got, test.want)
			}
		})
	}
}

func TestRenderCuts(t *testing.T) {
	long := func(n int) string { return strings.Repeat("x", n) }
	tests := []struct {
		name     string
		filename string
		fileID   string
		want     string
	}{
		{"exactly full", long(1018) + ".mp4", "id", "r/" + long(1018) + ".mp4"},
		{"one too many", long(1019) + ".mp4", "id", "r/" + long(1015) + "~id.mp4"},
		{"within a character", "x" + strings.Repeat("录", 400) + ".mp4", "id", "r/x" + strings.Repeat("录", 338) + "~id.mp4"},
		{"within an escape", strings.Repeat("\\", 400) + ".mp4", "id", "r/" + strings.Repeat("%5C", 338) + "~id.mp4"},
		{"an extension too long to be one", "a." + long(1100), "id", "r/a." + long(1017) + "~id"},
		{"no extension", long(1100), "id", "r/" + long(1019) + "~id"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got := mustParse(t, "{record_id}/{filename}").Render(objectkey.Values{RecordID: "r", Filename: test.filename, FileID: test.fileID}, nil)
			if got != test.want {
				t.Errorf("got  %d bytes %q\nwant %d bytes %q", len(got), got, len(test.want), test.want)
			}
		})
	}
	t.Run("without an id a hash keeps them apart", func(t *testing.T) {
		key := mustParse(t, "{record_id}/{filename}")
		a := key.Render(objectkey.Values{RecordID: "r", Filename: long(1100) + "a"}, nil)
		b := key.Render(objectkey.Values{RecordID: "r", Filename: long(1100) + "b"}, nil)
		if a == b || len(a) > objectkey.MaxBytes {
			t.Errorf("%d bytes %q\n%d bytes %q", len(a), a, len(b), b)
		}
	})
}

func TestWithFileID(t *testing.T) {
	long := strings.Repeat("x", 2000)
	tests := []struct{ key, id, want string }{
		{"a/b.mp4", "0123", "a/b~0123.mp4"},
		{"a/b.mp4", "0123-2", "a/b~0123-2.mp4"},
		{"a.d/b", "0123", "a.d/b~0123"},
		{"a/.mp4", "1", "a/.mp4~1"},
		{"b.tar.gz", "1", "b.tar~1.gz"},
		{"b", "a/b", "b~a%2Fb"},
		{"a/" + long + ".mp4", "1", "a/" + long[:1016] + "~1.mp4"},
		{"a/" + long[:1016] + "~1.mp4", "1", "a/" + long[:1015] + "~1~.mp4"},
	}
	for _, test := range tests {
		if got := objectkey.WithFileID(test.key, test.id); got != test.want {
			t.Errorf("WithFileID(%.40q, %q)\ngot  %q\nwant %q", test.key, test.id, got, test.want)
		}
	}
}

func TestUses(t *testing.T) {
	key := mustParse(t, "{tenant}/{start:%Y}/{record_id}")
	for name, want := range map[string]bool{"tenant": true, "start": true, "record_id": true, "stop": false, "file_id": false, "": false} {
		if key.Uses(name) != want {
			t.Errorf("Uses(%q) = %v", name, !want)
		}
	}
	if got := key.String(); got != "{tenant}/{start:%Y}/{record_id}" {
		t.Errorf("String() = %q", got)
	}
}

func TestExtAndContentType(t *testing.T) {
	tests := []struct{ name, ext, contentType string }{
		{"1866_094309.mp4", "mp4", "video/mp4"},
		{"A.MP4", "MP4", "video/mp4"},
		{"a.m4a", "m4a", "audio/mp4"},
		{"a.mp3", "mp3", "audio/mpeg"},
		{"a.mov", "mov", "video/quicktime"},
		{"a.mkv", "mkv", "video/x-matroska"},
		{"a.webm", "webm", "video/webm"},
		{"a.flv", "flv", "video/x-flv"},
		{"a.ts", "ts", "video/mp2t"},
		{"a.m3u8", "m3u8", "application/vnd.apple.mpegurl"},
		{"a.wav", "wav", "audio/wav"},
		{"a.vtt", "vtt", "text/vtt"},
		{"a.srt", "srt", "application/x-subrip"},
		{"a.txt", "txt", "text/plain; charset=utf-8"},
		{"a.json", "json", "application/json"},
		{"a.pdf", "pdf", "application/pdf"},
		{"a.jpg", "jpg", "image/jpeg"},
		{"a.png", "png", "image/png"},
		{"a.tar.gz", "gz", "application/gzip"},
		{".mp4", "", "application/octet-stream"},
		{"a.", "", "application/octet-stream"},
		{"a.b/c", "", "application/octet-stream"},
		{"mp4", "", "application/octet-stream"},
		{"", "", "application/octet-stream"},
		{"a.unheard-of", "unheard-of", "application/octet-stream"},
	}
	for _, test := range tests {
		if got := objectkey.Ext(test.name); got != test.ext {
			t.Errorf("Ext(%q) = %q, want %q", test.name, got, test.ext)
		}
		if got := objectkey.ContentType(test.name); got != test.contentType {
			t.Errorf("ContentType(%q) = %q, want %q", test.name, got, test.contentType)
		}
	}
}

func BenchmarkRender(b *testing.B) {
	key, v := mustParse(b, defaultKey), sample()
	b.ReportAllocs()
	for b.Loop() {
		key.Render(v, time.UTC)
	}
}
