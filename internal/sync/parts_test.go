package sync

import (
	"context"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/minio/crc64nvme"
	"go.uber.org/zap"

	"archiver/internal/fault"
	"archiver/internal/state"
)

func parts(sizes ...int64) []state.Part {
	var out []state.Part
	var off int64
	for i, n := range sizes {
		out = append(out, state.Part{Number: int32(i) + 1, Offset: off, Size: n, CRC64NVME: uint64(100 + i), ETag: "e" + string(rune('1'+i))})
		off += n
	}
	return out
}

func without(p []state.Part, numbers ...int32) []state.Part {
	var out []state.Part
	for _, x := range p {
		gone := false
		for _, n := range numbers {
			gone = gone || x.Number == n
		}
		if !gone {
			out = append(out, x)
		}
	}
	return out
}

func numbers(p []state.Part) []int32 {
	out := []int32{}
	for _, x := range p {
		out = append(out, x.Number)
	}
	return out
}

func TestInRow(t *testing.T) {
	all := parts(10, 10, 10, 3)
	shifted := parts(10, 10, 10)
	shifted[1].Offset = 11
	for name, c := range map[string]struct {
		in   []state.Part
		want []int32
		end  int64
	}{
		"none":            {nil, []int32{}, 0},
		"all":             {all, []int32{1, 2, 3, 4}, 33},
		"without first":   {without(all, 1), []int32{}, 0},
		"without second":  {without(all, 2), []int32{1}, 10},
		"without last":    {without(all, 4), []int32{1, 2, 3}, 30},
		"not where it is": {shifted, []int32{1}, 10},
	} {
		row := inRow(c.in)
		if diff := cmp.Diff(c.want, numbers(row)); diff != "" || endOf(row) != c.end {
			t.Errorf("%s: %s, end %d", name, diff, endOf(row))
		}
	}
}

// lister is a bucket of which only ListParts is asked.
type lister struct {
	Destination
	parts []state.Part
	err   error
}

// ListParts implements Uploads.
func (l lister) ListParts(context.Context, string, string) ([]state.Part, error) {
	return l.parts, l.err
}

func TestConfirmParts(t *testing.T) {
	all := parts(10, 10, 10, 3)
	change := func(i int, f func(*state.Part)) []state.Part {
		p := parts(10, 10, 10, 3)
		f(&p[i])
		return p
	}
	for name, c := range map[string]struct {
		recorded, listed []state.Part
		row, again       []int32
	}{
		"all there":       {all, all, []int32{1, 2, 3, 4}, []int32{}},
		"nothing there":   {all, nil, []int32{}, []int32{1, 2, 3, 4}},
		"one lost":        {all, without(all, 2), []int32{1}, []int32{2, 3, 4}},
		"gap recorded":    {without(all, 2), all, []int32{1}, []int32{3, 4}},
		"more there":      {without(all, 3, 4), all, []int32{1, 2}, []int32{}},
		"another size":    {all, change(2, func(p *state.Part) { p.Size = 9 }), []int32{1, 2}, []int32{3, 4}},
		"another ETag":    {all, change(1, func(p *state.Part) { p.ETag = "x" }), []int32{1}, []int32{2, 3, 4}},
		"another CRC":     {all, change(0, func(p *state.Part) { p.CRC64NVME = 5 }), []int32{}, []int32{1, 2, 3, 4}},
		"a store unsaid":  {all, change(0, func(p *state.Part) { p.CRC64NVME = 0 }), []int32{1, 2, 3, 4}, []int32{}},
		"nothing to tell": {nil, all, []int32{}, []int32{}},
	} {
		t.Run(name, func(t *testing.T) {
			x := &transfer{dest: lister{parts: c.listed}, log: zap.NewNop()}
			up := newUpload("u", 10, 33, 1)
			row, err := x.confirmParts(t.Context(), up, c.recorded)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.row, numbers(row)); diff != "" {
				t.Errorf("in a row: %s", diff)
			}
			again := []int32{}
			for _, p := range c.recorded {
				if _, ok := up.again[p.Number]; ok {
					again = append(again, p.Number)
				}
			}
			if diff := cmp.Diff(c.again, again); diff != "" {
				t.Errorf("to come out the same: %s", diff)
			}
		})
	}
}

func TestConfirmPartsErrors(t *testing.T) {
	var over *startOver
	x := &transfer{dest: lister{err: &fault.Error{Kind: fault.NotFound}}}
	if _, err := x.confirmParts(t.Context(), newUpload("u", 10, 33, 1), parts(10)); !errors.As(err, &over) {
		t.Errorf("an upload that is gone: %v", err)
	}
	x.dest = lister{err: &fault.Error{Kind: fault.Temporary}}
	if _, err := x.confirmParts(t.Context(), newUpload("u", 10, 33, 1), parts(10)); errors.As(err, &over) || fault.KindOf(err) != fault.Temporary {
		t.Errorf("a bucket that does not answer: %v", err)
	}
}

// handed is what becomes of a part that the window hands over.
func handed(x *transfer, up *upload, number int32, body string) (state.Part, error) {
	x.digest.take([]byte(body))
	return x.hashed(up, number, []byte(body), crc64nvme.Checksum([]byte(body)))
}

// TestHashedAgain refuses a part that was acknowledged once and comes out
// differently now.
func TestHashedAgain(t *testing.T) {
	x := &transfer{Syncer: &Syncer{}, digest: newDigest("a.bin", nil, false)}
	up := newUpload("u", 4, 8, 1)
	first, err := handed(x, up, 1, "1234")
	if err != nil || first.Offset != 0 || first.Size != 4 {
		t.Fatalf("%+v %v", first, err)
	}
	up.again[2] = state.Part{Number: 2, Offset: 4, Size: 4, CRC64NVME: first.CRC64NVME}
	if p, err := handed(x, up, 2, "1234"); err != nil || p.Offset != 4 {
		t.Errorf("the same bytes: %+v %v", p, err)
	}
	var over *startOver
	for _, body := range []string{"1235", "123"} {
		if _, err := handed(x, up, 2, body); !errors.As(err, &over) {
			t.Errorf("%q: %v", body, err)
		}
	}
}

func TestMetaValue(t *testing.T) {
	for in, want := range map[string]string{
		"": "", "plain": "plain", "a b": "a b", " a ": "%20a%20", " ": "%20", "50%": "50%25", "é": "%C3%A9",
		"录制": "%E5%BD%95%E5%88%B6", "a\r\nx-evil: 1": "a%0D%0Ax-evil: 1", "\x7f": "%7F", "~!": "~!",
	} {
		if got := metaValue(in); got != want {
			t.Errorf("metaValue(%q) = %q, want %q", in, got, want)
		}
	}
}
