package textline

import (
	"bufio"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
)

// TestRead has lines on either side of the buffer's end, and one without an end.
func TestRead(t *testing.T) {
	t.Parallel()
	const size = 128
	fits, over := strings.Repeat("a", size-1)+"\n", strings.Repeat("b", size)+"\n"
	huge := strings.Repeat("c", 10*size)
	br := bufio.NewReaderSize(strings.NewReader("one\n\n"+fits+over+"two\r\n"+huge+"\nlast"), size)
	var got []string
	for {
		line, long, err := Read(br)
		s := string(line)
		if long {
			s = "long " + s
		}
		got = append(got, s)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	want := []string{"one\n", "\n", fits, "long " + strings.Repeat("b", kept), "two\r\n", "long " + strings.Repeat("c", kept), "last"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestReadFails passes the reader's error on, also out of a long line.
func TestReadFails(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	for _, text := range []string{"", "x", strings.Repeat("x", 100)} {
		r, w := io.Pipe()
		go func() {
			_, _ = io.WriteString(w, text)
			_ = w.CloseWithError(broken)
		}()
		_, long, err := Read(bufio.NewReaderSize(r, 16))
		if !errors.Is(err, broken) || long != (len(text) > 16) {
			t.Errorf("%d bytes: %v, long %v", len(text), err, long)
		}
	}
}
