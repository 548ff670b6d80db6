// Command scale measures what a large state costs: a million tracked
// recordings of which a few hundred are due.
//
//	go run ./bench/scale [-n 1000000] [-due 500] [-archived 4000] [-dir DIR]
//	go run ./bench/scale -dir DIR -step polls [-cpuprofile FILE]
//
// Every step runs in a process of its own, so that its memory is its own, and
// is told the state that the steps before it have left:
//
//	track     a record_ids_file of n lines into an empty state, by the poller
//	again     a start with that file and that state, to the end of its first poll run
//	polls     poll runs with `due` recordings due each, by a vendor that answers at once
//	changed   the file with one more line: what a change of it costs
//	reads     claims, pages, counters and the ends of the audit log
//	log       the audit log from its beginning
//	check     `state check`
//	archived  recordings brought to archived, by the writes that the archiver makes
//	calls     how often the vendor is asked about one recording
//	requests  what a backfill asks of vendor and bucket; it builds the archiver
//	handed    n ids by backfill --from, alone and beside a daemon; it builds the archiver
//
// The vendor is a function in the same process: its time is none, and what is
// measured is the archiver's own work, the fsyncs of its disk included. Memory
// is RssAnon of /proc/self/status: pages of the mapped state are the system's
// cache, and are shown beside it as RssFile.
package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"runtime/pprof"
	"strconv"
)

// scale is how much of what there is, and where.
type scale struct {
	n, due, archived int
	dir              string
}

func (s scale) state() string { return filepath.Join(s.dir, "state.db") }

func (s scale) ids() string { return filepath.Join(s.dir, "ids") }

// figure is one line of the table.
type figure struct{ What, Value, Note string }

// steps are the processes, in order.
var steps = []struct {
	name string
	run  func(context.Context, scale) ([]figure, error)
}{
	{"track", track},
	{"again", again},
	{"polls", polls},
	{"changed", changed},
	{"reads", reads},
	{"log", readLog},
	{"check", check},
	{"archived", archived},
	{"calls", calls},
	{"requests", requests},
	{"handed", handed},
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Args[1:])
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "scale:", err)
		os.Exit(1) //nolint:forbidigo // main
	}
}

func run(ctx context.Context, args []string) error {
	var s scale
	flags := flag.NewFlagSet("scale", flag.ContinueOnError)
	flags.IntVar(&s.n, "n", 1_000_000, "recordings tracked")
	flags.IntVar(&s.due, "due", 500, "recordings due at a poll run")
	flags.IntVar(&s.archived, "archived", 4_000, "recordings archived, in a state of their own")
	flags.StringVar(&s.dir, "dir", "", "where the states are made and left; a temporary directory if empty")
	step := flags.String("step", "", "measure this one, in this process, with what the steps before it have left in DIR")
	profile := flags.String("cpuprofile", "", "where to write the CPU profile of a step")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *step != "" {
		return profiled(*profile, func() error { return one(ctx, s, *step) })
	}
	if s.dir == "" {
		dir, err := os.MkdirTemp("", "archiver-scale-")
		if err != nil {
			return err
		}
		defer func() { _ = os.RemoveAll(dir) }()
		s.dir = dir
	}
	return all(ctx, s)
}

func profiled(path string, fn func() error) (err error) {
	if path == "" {
		return fn()
	}
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if err := pprof.StartCPUProfile(f); err != nil {
		return err
	}
	defer pprof.StopCPUProfile()
	return fn()
}

// one measures a step and prints its figures for the process that asked.
func one(ctx context.Context, s scale, name string) error {
	for _, st := range steps {
		if st.name != name {
			continue
		}
		var m meter
		m.start()
		figures, err := st.run(ctx, s)
		peak := m.stop()
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		figures = append(figures, figure{name + ": memory", fmt.Sprintf("%.0f MiB", mib(peak.anon)), fmt.Sprintf("peak RssAnon; RssFile %.0f MiB", mib(peak.file))})
		return json.NewEncoder(os.Stdout).Encode(figures)
	}
	return fmt.Errorf("there is no step %q", name)
}

// all runs each step as a process of its own and prints the table.
func all(ctx context.Context, s scale) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	fmt.Printf("%s/%s, %d CPUs, %s; %d recordings tracked, %d due\n\n", runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), runtime.Version(), s.n, s.due)
	fmt.Println("| what | figure | |")
	fmt.Println("|---|---|---|")
	for _, st := range steps {
		cmd := exec.CommandContext(ctx, self, "-step", st.name, "-dir", s.dir, "-n", strconv.Itoa(s.n), "-due", strconv.Itoa(s.due), "-archived", strconv.Itoa(s.archived))
		cmd.Stderr = os.Stderr
		out, err := cmd.Output()
		if err != nil {
			return fmt.Errorf("%s: %w", st.name, err)
		}
		var figures []figure
		if err := json.NewDecoder(bytes.NewReader(out)).Decode(&figures); err != nil {
			return fmt.Errorf("%s: %w", st.name, err)
		}
		for _, f := range figures {
			fmt.Printf("| %s | %s | %s |\n", f.What, f.Value, f.Note)
		}
	}
	return nil
}

// recordID is the i-th recordId: 32 hexadecimal digits in no order, as the
// vendor's are.
func recordID(i int) string {
	sum := sha256.Sum256(strconv.AppendInt(nil, int64(i), 10))
	return hex.EncodeToString(sum[:16])
}
