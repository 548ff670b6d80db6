package awschunk_test

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/iotest"

	"archiver/internal/sandbox/awschunk"
)

func TestReader(t *testing.T) {
	tests := map[string]struct {
		in, want, sum string
		bad           bool
	}{
		"trailer":            {in: "5\r\nhello\r\n3;chunk-signature=ab\r\n wo\r\n0\r\nx-amz-checksum-crc64nvme:AAAA\r\n\r\n", want: "hello wo", sum: "AAAA"},
		"empty":              {in: "0\r\n\r\n"},
		"no last empty line": {in: "1\r\na\r\n0\r\n", want: "a"},
		"cut in a chunk":     {in: "5\r\nhel", want: "hel", bad: true},
		"cut behind a chunk": {in: "3\r\nhel", want: "hel", bad: true},
		"no last chunk":      {in: "3\r\nhel\r\n", want: "hel", bad: true},
		"no length":          {in: "zz\r\n", bad: true},
		"negative length":    {in: "-3\r\n", bad: true},
		"nothing":            {bad: true},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			for _, src := range []io.Reader{strings.NewReader(tt.in), iotest.OneByteReader(strings.NewReader(tt.in))} {
				r := awschunk.NewReader(src)
				got, err := io.ReadAll(r)
				if string(got) != tt.want || errors.Is(err, io.ErrUnexpectedEOF) != tt.bad {
					t.Errorf("read %q, %v", got, err)
				}
				if sum := r.Trailer.Get("X-Amz-Checksum-Crc64nvme"); sum != tt.sum {
					t.Errorf("trailer %q, want %q", sum, tt.sum)
				}
			}
		})
	}
}

func TestFramed(t *testing.T) {
	if !awschunk.Framed(http.Header{"X-Amz-Content-Sha256": {"STREAMING-UNSIGNED-PAYLOAD-TRAILER"}}) || awschunk.Framed(http.Header{"X-Amz-Content-Sha256": {"UNSIGNED-PAYLOAD"}}) {
		t.Error("framing misjudged")
	}
}
