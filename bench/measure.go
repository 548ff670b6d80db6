package main

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// bench is what all rows share.
type bench struct {
	dir   string
	pairs int
}

// columns are what a row prints.
const columns = `| work | beside | wall, ours / peer | CPU, ours / peer | RssAnon, ours / peer | ours: wall s, CPU s, RssAnon + RssFile MiB | peer: the same | CPU s of source and store, beside ours / peer |
|---|---|---|---|---|---|---|---|`

// measure runs ours and each peer in turn, and prints a line a peer.
func (b bench) measure(ctx context.Context, r *row) error {
	w, err := newWorld(ctx, r, b.dir, r.age)
	if err != nil {
		return err
	}
	defer w.close()
	pairs, warm := b.pairs, 1
	if r.pairs > 0 {
		pairs, warm = min(pairs, r.pairs), 0
	}
	var ours []usage
	theirs := make([][]usage, len(r.beside))
	for i := range pairs + warm {
		u, err := b.once(ctx, r, w, i)
		if err != nil {
			return err
		}
		if i >= warm {
			ours = append(ours, u)
		}
		for k, p := range r.beside {
			u, err := p.run(ctx, b.dir, w)
			if err != nil {
				return fmt.Errorf("%s: %w", p.name, err)
			}
			say("%s %d: %s %s", r.name, i, p.name, u)
			if i >= warm {
				theirs[k] = append(theirs[k], u)
			}
		}
	}
	for k, p := range r.beside {
		t := theirs[k]
		fmt.Printf("| %s | %s | %s | %s | %.2f | %s%s | %s | %.2f / %.2f |\n", r, p.name,
			ratios(ours, t, wall).held(p.wall), ratios(ours, t, cpu).held(p.cpu), ratios(ours, t, anon).median(),
			figures(ours), atMost(of(ours, anon).median(), r.anon), figures(t), of(ours, servers).median(), of(t, servers).median())
	}
	return nil
}

// once runs our side in a directory of its own.
func (b bench) once(ctx context.Context, r *row, w *world, i int) (usage, error) {
	dir := filepath.Join(b.dir, fmt.Sprintf("%s-%d-%d", r.name, r.size, i))
	defer func() { _ = os.RemoveAll(dir) }()
	u, err := r.ours(ctx, dir, w, r)
	if err == nil {
		say("%s %d: ours %s", r.name, i, u)
	}
	return u, err
}

// compareMemory runs large files and small ones in turn, ours alone, and says
// what memory does with the size.
func (b bench) compareMemory(ctx context.Context, large, small *row) error {
	both := []*row{large, small}
	peaks := make([][]usage, 2)
	for i := range min(b.pairs, large.pairs) {
		for k, r := range both {
			w, err := newWorld(ctx, r, b.dir, r.age)
			if err != nil {
				return err
			}
			u, err := b.once(ctx, r, w, i)
			w.close()
			if err != nil {
				return err
			}
			peaks[k] = append(peaks[k], u)
		}
	}
	for k, r := range both {
		note := ""
		if k == 0 {
			note = ratios(peaks[0], peaks[1], anon).held(1.10)
		}
		fmt.Printf("| %s | the row below | | | %s | %s%s | | %.2f |\n", r, note, figures(peaks[k]), atMost(of(peaks[k], anon).median(), r.anon), of(peaks[k], servers).median())
	}
	return nil
}

func wall(u usage) float64    { return u.wall.Seconds() }
func cpu(u usage) float64     { return u.cpu.Seconds() }
func servers(u usage) float64 { return u.servers.Seconds() }
func anon(u usage) float64    { return float64(u.anon) / mib }
func file(u usage) float64    { return float64(u.file) / mib }

func (u usage) String() string {
	return fmt.Sprintf("%.2f s, CPU %.2f s, %.0f + %.0f MiB; servers %.2f s", wall(u), cpu(u), anon(u), file(u), servers(u))
}

// sample is a figure of several runs.
type sample []float64

func of(us []usage, f func(usage) float64) sample {
	var s sample
	for _, u := range us {
		s = append(s, f(u))
	}
	return s
}

// ratios are those of the pairs, which ran one right after the other.
func ratios(ours, theirs []usage, f func(usage) float64) sample {
	var s sample
	for i := range ours {
		s = append(s, f(ours[i])/f(theirs[i]))
	}
	return s
}

// median is the mean of the two in the middle where there are two.
func (s sample) median() float64 {
	v := slices.SortedFunc(slices.Values(s), cmp.Compare)
	n := len(v)
	return (v[(n-1)/2] + v[n/2]) / 2
}

// held prints median and range, beside what the median may be.
func (s sample) held(most float64) string {
	text := fmt.Sprintf("%.2f (%.2f–%.2f)", s.median(), slices.Min(s), slices.Max(s))
	switch {
	case most == 0:
		return text
	case s.median() <= most:
		return fmt.Sprintf("**%s**, to be ≤ %.2f", text, most)
	default:
		return fmt.Sprintf("%s, **not** ≤ %.2f", text, most)
	}
}

func atMost(v float64, most int) string {
	switch {
	case most == 0:
		return ""
	case v <= float64(most):
		return fmt.Sprintf(" (RssAnon to be ≤ %d)", most)
	default:
		return fmt.Sprintf(" (RssAnon **not** ≤ %d)", most)
	}
}

func figures(us []usage) string {
	return fmt.Sprintf("%.2f, %.2f, %.0f + %.0f", of(us, wall).median(), of(us, cpu).median(), of(us, anon).median(), of(us, file).median())
}

// say tells on standard error how far it is.
func say(format string, a ...any) {
	fmt.Fprintf(os.Stderr, "%s "+format+"\n", append([]any{time.Now().Format(time.TimeOnly)}, a...)...)
}
