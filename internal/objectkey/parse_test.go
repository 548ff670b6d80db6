package objectkey_test

import (
	"strings"
	"testing"

	"archiver/internal/objectkey"
)

const allPlaceholders = "{tenant} {conference_key} {record_id} {file_id} {filename} {ext} {ent_id} {start:STRFTIME} {stop:STRFTIME}"

const allVerbs = "%C %F %G %H %I %M %S %U %V %W %Y %d %g %j %m %u %w %y"

func TestParseRefuses(t *testing.T) {
	tests := []struct{ template, want string }{
		{"", "column 1: is empty"},
		{"{record_id}" + strings.Repeat("x", 502), "column 1: has 513 bytes; at most 512 leave room for the values"},
		{"{tenant}/{filename}", "column 1: needs {record_id} or {file_id}, or files of different recordings would get the same key"},
		{"{record_id}/{recordid}", "column 13: {recordid} is not known here; allowed are " + allPlaceholders},
		{"{record_id}/{}", "column 13: {} is not known here; allowed are " + allPlaceholders},
		{"{Record_ID}", "column 1: {Record_ID} is not known here; allowed are " + allPlaceholders},
		{"a/{record_id", "column 3: this { is never closed by }"},
		{"a/{record{id}}", "column 3: this { is never closed by }"},
		{"录/{record_id}}", "column 14: this } has no { before it"},
		{"{record_id:%Y}", "column 1: {record_id} takes no format; only {start:…} and {stop:…} do"},
		{"{record_id}/{start}", "column 13: {start} needs a format, such as {start:%Y/%m/%d}"},
		{"{record_id}/{start:}", "column 20: the format has no verb; allowed are " + allVerbs},
		{"{record_id}/{start:year}", "column 20: the format has no verb; allowed are " + allVerbs},
		{"{record_id}/{start:%Y/%q}", "column 23: %q is not allowed in a key; allowed are " + allVerbs},
		{"{record_id}/{start:%B}", "column 20: %B is not allowed in a key; allowed are " + allVerbs},
		{"{record_id}/{start:%D}", "column 20: %D is not allowed in a key; allowed are " + allVerbs},
		{"{record_id}/{start:%-d}", "column 20: %- is not allowed in a key; allowed are " + allVerbs},
		{"{record_id}/{stop:%Y%}", "column 21: this % has no verb behind it; allowed are " + allVerbs},
		{"{record_id}/%Y", "column 13: % stands for an escaped character in keys; a date is written {start:%Y-%m-%d}"},
		{"/{record_id}", "column 1: a key must not begin with /"},
		{"{record_id}/", "column 12: a key must not end with /"},
		{"a//{record_id}", "column 3: a key must not contain //"},
		{"a/{start:/%Y}/{record_id}", "column 10: a key must not contain //"},
		{"./{record_id}", `column 1: a key must not have a segment "."`},
		{"{record_id}/../a", `column 13: a key must not have a segment ".."`},
		{`a\{record_id}`, `column 2: \ is not allowed; segments are separated by /`},
		{"a\n{record_id}", "column 2: control characters and invalid UTF-8 are not allowed"},
		{"a\xff{record_id}", "column 2: control characters and invalid UTF-8 are not allowed"},
		{"{record_id}{start:%Y\x00}", "column 21: control characters and invalid UTF-8 are not allowed"},
	}
	for _, test := range tests {
		parsed, err := objectkey.Parse(test.template)
		if err == nil || err.Error() != test.want || parsed != nil {
			t.Errorf("Parse(%q)\ngot  %v\nwant %s", test.template, err, test.want)
		}
	}
}

func TestParseManifest(t *testing.T) {
	parsed, err := objectkey.ParseManifest("manifests/{tenant}/{record_id}.json")
	if err != nil {
		t.Fatal(err)
	}
	if got := parsed.Render(sample(), nil); got != "manifests/acme/02e519d8d4c2402c92bcfd1e1b2c1c0c.json" {
		t.Errorf("got %q", got)
	}
	const allowed = "allowed are {tenant} {record_id} {conference_key} {ent_id}"
	for template, want := range map[string]string{
		"{tenant}.json":             "column 1: needs {record_id}, as there is one manifest for each recording",
		"{record_id}/{filename}":    "column 13: {filename} is not known here; " + allowed,
		"{start:%Y}/{record_id}":    "column 1: {start} is not known here; " + allowed,
		"{record_id}/{file_id}.txt": "column 13: {file_id} is not known here; " + allowed,
	} {
		if _, err := objectkey.ParseManifest(template); err == nil || err.Error() != want {
			t.Errorf("ParseManifest(%q)\ngot  %v\nwant %s", template, err, want)
		}
	}
}
