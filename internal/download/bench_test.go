package download

import (
	"io"
	"net/http"
	"strconv"
	"testing"
)

// BenchmarkGet reads 64 MiB from loopback, as one body and into buffers of
// the size of a part.
func BenchmarkGet(b *testing.B) {
	const total, part = 64 << 20, 8 << 20
	chunk := make([]byte, 1<<20)
	s := serve(b, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", strconv.Itoa(total))
		for range total / len(chunk) {
			if _, err := w.Write(chunk); err != nil {
				return
			}
		}
	})
	c := loopback(b)
	p := make([]byte, part)
	b.SetBytes(total)
	b.ReportAllocs()
	for b.Loop() {
		resp, err := c.Get(b.Context(), Request{URL: s.URL, Whole: true})
		if err != nil {
			b.Fatal(err)
		}
		for range total / part {
			if _, err := io.ReadFull(resp.Body, p); err != nil {
				b.Fatal(err)
			}
		}
		if err := resp.Body.Close(); err != nil {
			b.Fatal(err)
		}
	}
}
