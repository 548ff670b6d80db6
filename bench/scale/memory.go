package main

import (
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

// memory is what a process holds, in bytes.
type memory struct{ anon, file int64 }

// meter samples the memory of this process and keeps the largest.
type meter struct {
	peak memory
	done chan struct{}
	wg   sync.WaitGroup
}

func (m *meter) start() {
	m.done = make(chan struct{})
	m.wg.Go(func() {
		t := time.NewTicker(10 * time.Millisecond)
		defer t.Stop()
		for {
			now := resident()
			m.peak.anon, m.peak.file = max(m.peak.anon, now.anon), max(m.peak.file, now.file)
			select {
			case <-m.done:
				return
			case <-t.C:
			}
		}
	})
}

func (m *meter) stop() memory {
	close(m.done)
	m.wg.Wait()
	return m.peak
}

// resident reads /proc/self/status; zero where there is none.
func resident() memory {
	b, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return memory{}
	}
	return memory{number(string(b), "RssAnon:") << 10, number(string(b), "RssFile:") << 10}
}

// number is what stands behind a name in a file of /proc; 0 if it is not there.
func number(text, name string) int64 {
	_, rest, _ := strings.Cut(text, name)
	fields := strings.Fields(rest)
	if len(fields) == 0 {
		return 0
	}
	n, err := strconv.ParseInt(fields[0], 10, 64)
	if err != nil {
		return 0
	}
	return n
}

func mib(n int64) float64 { return float64(n) / (1 << 20) }

// ticks is the processor time, user's and system's, in a /proc/PID/stat.
func ticks(stat string) time.Duration {
	_, rest, _ := strings.Cut(stat, ") ") // the name before it may have blanks
	fields := strings.Fields(rest)
	const user, system, hertz = 11, 12, 100
	if len(fields) <= system {
		return 0
	}
	var sum int64
	for _, i := range []int{user, system} {
		n, err := strconv.ParseInt(fields[i], 10, 64)
		if err != nil {
			return 0
		}
		sum += n
	}
	return time.Duration(sum) * time.Second / hertz
}
