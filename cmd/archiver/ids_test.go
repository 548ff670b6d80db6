package main

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
)

func TestReadIDs(t *testing.T) {
	long := strings.Repeat("x", 70_000)
	for _, c := range []struct {
		name, text string
		want       []string // line:tenant/id, or line! for a bad one
	}{
		{"empty", "", nil},
		{"only a comment", "# none", nil},
		{"plain", "a\nb\n", []string{"1:/a", "2:/b"}},
		{"no last line break", "a\nb", []string{"1:/a", "2:/b"}},
		{"mark, CR, blanks, comments", "\xef\xbb\xbf# x\r\n\r\n a \r\n#b\r\nc", []string{"3:/a", "5:/c"}},
		{"mark before the first id", "\xef\xbb\xbfa\n", []string{"1:/a"}},
		{"blanks inside", "a b\n", []string{"1:/a b"}},
		{"64 characters", strings.Repeat("é", 64) + "\n" + strings.Repeat("é", 65), []string{"1:/" + strings.Repeat("é", 64), "2!"}},
		{"control character", "a\nb\x00c\nd", []string{"1:/a", "2!", "3:/d"}},
		{"not UTF-8", "a\n\xff\n", []string{"1:/a", "2!"}},
		{"a line too long", "a\n" + long + "\nb", []string{"1:/a", "2!", "3:/b"}},
		{"the last line too long", "a\n" + long, []string{"1:/a", "2!"}},
		{"csv", "record_id,title\na,x\n\nb,\"y\nz\"\n# c,c\nd,\n", []string{"2:/a", "4:/b", "7:/d"}},
		{"csv with tenants", "title, Tenant ,RECORD_ID\nx,acme,a\ny,,b\n", []string{"2:acme/a", "3:/b"}},
		{"quoted header", "\"record_id\"\n\"a\"\n", []string{"2:/a"}},
		{"semicolons", "id;record_id\n1;a\n", []string{"2:/a"}},
		{"tsv", "\xef\xbb\xbf\nx\trecord_id\r\n\ta\r\n", []string{"3:/a"}},
		{"short row", "title,record_id\nx\ny,b\n", []string{"2!", "3:/b"}},
		{"empty id", "title,record_id\nx,\n", []string{"2!"}},
		{"stray quote", "record_id,t\na,x\"y\nb,z\n", []string{"2!", "3:/b"}},
		{"json strings", "\"a\"\n\n\"b\"", []string{"1:/a", "3:/b"}},
		{"json objects", "#\n{\"record_id\":\"a\",\"tenant\":\"acme\",\"x\":{}}\r\n{\"record_id\":\"b\"}\n", []string{"2:acme/a", "3:/b"}},
		{"json mixed", "{\"record_id\":\"a\"}\n\"b\"\n", []string{"1:/a", "2:/b"}},
		{"json mistakes", "{\"record_id\":1}\n{}\nnonsense\n{\"record_id\":\"\\n\"}\n\"a\"\n", []string{"1!", "2!", "3!", "4!", "5:/a"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var got []string
			err := readIDs(iotest.OneByteReader(strings.NewReader(c.text)), idSink{
				id: func(line int, tenant, id string) error {
					got = append(got, fmt.Sprintf("%d:%s/%s", line, tenant, id))
					return nil
				},
				bad: func(line int, _ string) { got = append(got, fmt.Sprintf("%d!", line)) },
			})
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(c.want, got); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestReadIDsFails(t *testing.T) {
	never := idSink{id: func(int, string, string) error { t.Error("an id"); return nil }, bad: func(int, string) { t.Error("a line") }}
	for _, text := range []string{"recordId,title\na,b\n", "\n\nx\ty\n", "a;b"} {
		if err := readIDs(strings.NewReader(text), never); err == nil || !strings.Contains(err.Error(), "no column record_id") {
			t.Errorf("%q: %v", text, err)
		}
	}
	broken := errors.New("broken")
	ignore := idSink{id: func(int, string, string) error { return nil }, bad: func(int, string) {}}
	for _, text := range []string{"", "a\n", "\"a\"\n", "record_id\na\n", "# x\n"} {
		r := iotest.TimeoutReader(strings.NewReader(text))
		if text == "" {
			r = iotest.ErrReader(broken)
		}
		if err := readIDs(iotest.OneByteReader(r), ignore); !errors.Is(err, broken) && !errors.Is(err, iotest.ErrTimeout) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// TestReadIDsStops: no line is read behind the one that its sink refuses.
func TestReadIDsStops(t *testing.T) {
	enough := errors.New("enough")
	for _, text := range []string{"a\nb\n", "\"a\"\n\"b\"\n", "record_id\na\nb\n"} {
		n := 0
		err := readIDs(strings.NewReader(text), idSink{
			id:  func(int, string, string) error { n++; return enough },
			bad: func(int, string) { t.Error("a line") },
		})
		if !errors.Is(err, enough) || n != 1 {
			t.Errorf("%q: %d ids, %v", text, n, err)
		}
	}
}

// TestUnclosedQuote: the line that is told is where the quote begins, and that
// the lines behind it are lost is said.
func TestUnclosedQuote(t *testing.T) {
	var got, told []string
	err := readIDs(strings.NewReader("record_id,title\na,x\nb,\"oops\nc,x\nd,x\n"), idSink{
		id:  func(_ int, _, id string) error { got = append(got, id); return nil },
		bad: func(line int, why string) { told = append(told, fmt.Sprintf("%d: %s", line, why)) },
	})
	if err != nil || len(got) != 1 || len(told) != 1 || !strings.HasPrefix(told[0], "3: ") || !strings.Contains(told[0], "nothing in between was read") {
		t.Errorf("%v, ids %v, told %v", err, got, told)
	}
}
