package vendorsim_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"archiver/internal/sandbox/content"
	"archiver/internal/sandbox/vendorsim"
)

// BenchmarkDownload measures a generated file over loopback, client included.
func BenchmarkDownload(b *testing.B) {
	const size = 256 << 20
	s := vendorsim.New(vendorsim.Options{Tenants: map[string]string{"acme": "key"}, NoCRC64: true})
	if err := s.Start(""); err != nil {
		b.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	err := s.AddRecording(vendorsim.Recording{ID: "r1", Tenant: "acme", Files: []vendorsim.File{{Start: time.Unix(0, 0), Stop: time.Unix(9, 0), Content: content.Generate(1, size)}}})
	if err != nil {
		b.Fatal(err)
	}
	tr := &http.Transport{ReadBufferSize: 256 << 10}
	defer tr.CloseIdleConnections()
	link, err := linkOf(b, tr, s.APIURL())
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(size)
	buf := make([]byte, 256<<10)
	for b.Loop() {
		req, err := http.NewRequestWithContext(b.Context(), http.MethodGet, link, nil)
		if err != nil {
			b.Fatal(err)
		}
		resp, err := tr.RoundTrip(req)
		if err != nil {
			b.Fatal(err)
		}
		n, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{resp.Body}, buf)
		if err != nil || n != size {
			b.Fatalf("%d bytes, %v", n, err)
		}
		_ = resp.Body.Close()
	}
}

func linkOf(b *testing.B, tr *http.Transport, api string) (string, error) {
	req, err := http.NewRequestWithContext(b.Context(), http.MethodPost, api+"/meeting/getRecords", strings.NewReader(`{"recordId":"r1"}`))
	if err != nil {
		return "", err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("auth", "key")
	resp, err := tr.RoundTrip(req)
	if err != nil {
		return "", err
	}
	defer func() { _ = resp.Body.Close() }()
	var a struct {
		Data []struct{ DownURL string }
	}
	if err := json.NewDecoder(resp.Body).Decode(&a); err != nil || len(a.Data) != 1 {
		return "", fmt.Errorf("%d items: %w", len(a.Data), err)
	}
	return a.Data[0].DownURL, nil
}
