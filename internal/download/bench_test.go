package download

import (
	"encoding/pem"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"testing"
)

// BenchmarkGet reads 64 MiB from loopback, over http and TLS, as one body and
// into buffers of the size of a part.
func BenchmarkGet(b *testing.B) {
	const total, part = 64 << 20, 8 << 20
	chunk := make([]byte, 1<<20)
	h := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", strconv.Itoa(total))
		for range total / len(chunk) {
			if _, err := w.Write(chunk); err != nil {
				return
			}
		}
	})
	plain, secured := httptest.NewServer(h), httptest.NewTLSServer(h)
	b.Cleanup(plain.Close)
	b.Cleanup(secured.Close)
	ca := filepath.Join(b.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: secured.Certificate().Raw}), 0o600); err != nil {
		b.Fatal(err)
	}
	p := make([]byte, part)
	for name, url := range map[string]string{"http": plain.URL, "tls": secured.URL} {
		b.Run(name, func(b *testing.B) {
			c := newClient(b, Options{AllowLoopback: true, CAFile: ca})
			b.SetBytes(total)
			b.ReportAllocs()
			for b.Loop() {
				resp, err := c.Get(b.Context(), Request{URL: url, Whole: true})
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
		})
	}
}
