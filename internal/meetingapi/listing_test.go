package meetingapi

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// items decodes the data of an answer.
func items(t testing.TB, data string) []Item {
	t.Helper()
	std, ok := standardJSON([]byte(data))
	if !ok {
		t.Fatalf("%s is no JSON", data)
	}
	got, err := decodeItems(std, time.UTC)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func TestFileSize(t *testing.T) {
	tests := map[string]int64{
		`1027797`: 1027797, `1027797.0`: 1027797, `1.027797E6`: 1027797, `1.027797e+06`: 1027797,
		`"1027797"`: 1027797, `" 1027797 "`: 1027797, `"1.027797E6"`: 1027797, `10277970e-1`: 1027797,
		`9007199254740993`: 9007199254740993, `9223372036854775807`: 9223372036854775807,
		`1`: 1, `0`: -1, `-0`: -1, `0.0`: -1, `-1`: -1, `-1.5E3`: -1, `1.5`: -1, `1e400`: -1,
		`1e300`: -1, `9.007199254740994E15`: -1, `"NaN"`: -1, `NaN`: -1, `Infinity`: -1, `-Infinity`: -1,
		`"Inf"`: -1, `"0x10"`: -1, `"1_000"`: -1, `"1,000"`: -1, `""`: -1, `null`: -1, `true`: -1, `[1]`: -1, `{}`: -1,
	}
	for in, want := range tests {
		if got := items(t, `[{"fileSize":`+in+`}]`)[0].FileSize; got != want {
			t.Errorf("%s: %d, want %d", in, got, want)
		}
	}
	if got := items(t, `[{"x":1}]`)[0].FileSize; got != -1 {
		t.Errorf("missing: %d", got)
	}
}

func TestTimes(t *testing.T) {
	shanghai := time.FixedZone("CST", 8*3600)
	utc := time.Date(2019, 5, 31, 1, 43, 9, 0, time.UTC)
	local := utc.Add(-8 * time.Hour)
	tests := []struct {
		in   string
		want time.Time
	}{
		{"2019-05-31 01:43:09", local},
		{"2019-05-31T01:43:09", local},
		{"2019-05-31 01:43:09.000", local},
		{"2019-05-31T01:43:09Z", utc},
		{"2019-05-31T09:43:09+08:00", utc},
		{"2019-05-31 09:43:09+08:00", utc},
		{"", time.Time{}},
		{"0000-00-00 00:00:00", time.Time{}},
		{"2019-02-30 01:43:09", time.Time{}},
		{"yesterday", time.Time{}},
	}
	for _, tt := range tests {
		got, err := decodeItems(fmt.Appendf(nil, `[{"startTime":"  %s\t"}]`, tt.in), shanghai)
		if err != nil || !got[0].StartTime.Equal(tt.want) || got[0].StartTime.Location() != time.UTC || got[0].StartRaw != tt.in {
			t.Errorf("%q: %v %q, %v", tt.in, got[0].StartTime, got[0].StartRaw, err)
		}
	}
}

func TestFinished(t *testing.T) {
	tests := []struct {
		item string
		want bool
	}{
		{`{"stopTime":"2019-05-31 01:43:23","downUrl":"http://h/a.mp4"}`, true},
		{`{"stopTime":1559266989000,"downUrl":"http://h/a.mp4"}`, true},
		{`{"stopTime":"31.5.2019","downUrl":"http://h/a.mp4"}`, true},
		{`{"downUrl":"http://h/a.mp4"}`, false},
		{`{"stopTime":null,"downUrl":"http://h/a.mp4"}`, false},
		{`{"stopTime":" ","downUrl":"http://h/a.mp4"}`, false},
		{`{"stopTime":"null","downUrl":"http://h/a.mp4"}`, false},
		{`{"stopTime":"0000-00-00 00:00:00","downUrl":"http://h/a.mp4"}`, false},
		{`{"stopTime":0,"downUrl":"http://h/a.mp4"}`, false},
		{`{"stopTime":"2019-05-31 01:43:23"}`, false},
		{`{"stopTime":"2019-05-31 01:43:23","downUrl":""}`, false},
		{`{"stopTime":"2019-05-31 01:43:23","downUrl":"  "}`, false},
		{`{"stopTime":"2019-05-31 01:43:23","downUrl":["http://h"]}`, false},
		{`{}`, false},
	}
	for _, tt := range tests {
		if got := items(t, "["+tt.item+"]")[0].Finished(); got != tt.want {
			t.Errorf("%s: %v", tt.item, got)
		}
	}
	if it := (Item{StopTime: time.Unix(1, 0), DownURL: "http://h/a"}); !it.Finished() {
		t.Error("a time without its text is a time")
	}
}

// TestNothingVanishes: whatever is listed is in the listing.
func TestNothingVanishes(t *testing.T) {
	got := items(t, `[null, 17, "x", [1], {"recordId":"A","downUrl":"http://h/a?x","stopTime":"2019-05-31 01:43:23",}, {},]`)
	want := []Item{
		{FileSize: -1, Raw: json.RawMessage(`null`)},
		{FileSize: -1, Raw: json.RawMessage(`17`)},
		{FileSize: -1, Raw: json.RawMessage(`"x"`)},
		{FileSize: -1, Raw: json.RawMessage(`[1]`)},
		{
			RecordID: "A", DownURL: "http://h/a?x", StopRaw: "2019-05-31 01:43:23",
			StopTime: time.Date(2019, 5, 31, 1, 43, 23, 0, time.UTC), FileSize: -1,
			Raw: json.RawMessage(`{"recordId":"A","downUrl":"http://h/a?x","stopTime":"2019-05-31 01:43:23" }`),
		},
		{FileSize: -1, Raw: json.RawMessage(`{}`)},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	one := items(t, `{"recordId":7,"conferenceKey":1866,"entId":"52","startTime":{}}`)
	if len(one) != 1 || one[0].RecordID != "7" || one[0].ConferenceKey != "1866" || one[0].EntID != "52" || one[0].StartRaw != "" {
		t.Errorf("a single object: %+v", one)
	}
	paged := items(t, `{"list":[]}`)
	if len(paged) != 1 || paged[0].Finished() {
		t.Errorf("an object of another shape: %+v", paged)
	}
}

func TestNumbersKeepTheirDigits(t *testing.T) {
	it := items(t, `[{"recordId":123456789012345678901234567890,"entId":1.50,"conferenceKey":"007"}]`)[0]
	if it.RecordID != "123456789012345678901234567890" || it.EntID != "1.50" || it.ConferenceKey != "007" {
		t.Errorf("%+v", it)
	}
}

func TestRepair(t *testing.T) {
	tests := map[string]string{
		`{"a":[1,2,],}`:           `{"a":[1,2 ] }`,
		"{\"a\":1 ,\n\t}":         "{\"a\":1  \n\t}",
		`{"a":",}",}`:             `{"a":",}" }`,
		`{"a":"\",]",}`:           `{"a":"\",]" }`,
		`{"a":"\\",}`:             `{"a":"\\" }`,
		`[NaN,-Infinity,-1,]`:     `[null,null,-1 ]`,
		`{"a":Infinity,"b":"NaN"`: `{"a":null,"b":"NaN"`,
		`[,]`:                     `[,]`,
		`{,}`:                     `{,}`,
		`[1,,]`:                   `[1,,]`,
		`{"a":,}`:                 `{"a":,}`,
		`,]`:                      `,]`,
		`"open`:                   `"open`,
		`"\`:                      `"\`,
	}
	for in, want := range tests {
		if got := string(repair([]byte(in))); got != want {
			t.Errorf("%s: %s, want %s", in, got, want)
		}
	}
}
