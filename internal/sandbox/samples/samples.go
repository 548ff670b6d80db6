// Package samples holds three short recordings that really play in a browser:
// H.264 constrained baseline with AAC, so that the demo shows pictures and the
// tests have files that a player made, not we. README.md says how they were
// made.
package samples

import (
	"embed"
	"fmt"
)

//go:embed *.mp4
var files embed.FS

// The samples: Testsrc (3 s) and Bars (1 s) are faststart, moov before mdat;
// Mandelbrot (2 s) has moov at the end, as a recorder leaves it.
const (
	Testsrc    = "testsrc.mp4"
	Bars       = "bars.mp4"
	Mandelbrot = "mandelbrot.mp4"
)

// Names returns the names of all samples.
func Names() []string { return []string{Testsrc, Mandelbrot, Bars} }

// Read returns a sample's bytes; a name that is none of Names is an error.
func Read(name string) ([]byte, error) {
	b, err := files.ReadFile(name)
	if err != nil {
		return nil, fmt.Errorf("read sample: %w", err)
	}
	return b, nil
}
