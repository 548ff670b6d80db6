package main

import (
	"cmp"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"archiver/internal/config"
	"archiver/internal/explain"
	"archiver/internal/state"
)

// wanted is what the command line and --from name.
type wanted struct {
	keys  []state.Key // ordered, each once
	bad   int         // lines of --from that hold no id
	named bool        // ids, or a list of them, were given
}

// attention is the outcome of a command that did all that it could be told.
func (w wanted) attention() error {
	if w.bad > 0 {
		return &outcome{code: exitAttention, err: fmt.Errorf("%s not understood; correct and run again", explain.Count(w.bad, "line"))}
	}
	return nil
}

// shownLines is how many wrong lines of a list are named.
const shownLines = 100

// wanted collects the ids. Wrong arguments are wrong usage; wrong lines are
// told and left out.
func (c *cli) wanted(cfg *config.Config, from string, args []string) (wanted, error) {
	var w wanted
	if from == "" && len(args) == 0 {
		if c.tenant != "" {
			return w, usage("--tenant %s without any id: name the recordings, or leave --tenant out for all that is tracked", c.tenant)
		}
		return w, nil
	}
	only, ambiguous := c.theTenant(cfg.TenantNames(), cfg.Path)
	if c.tenant != "" && ambiguous != nil || len(args) > 0 && ambiguous != nil {
		return w, ambiguous
	}
	if err := validIDs(args); err != nil {
		return w, err
	}
	for _, id := range args {
		w.keys = append(w.keys, state.Key{Tenant: only, RecordID: id})
	}
	if from != "" {
		if err := c.readList(cfg, from, only, &w); err != nil {
			return w, err
		}
	}
	slices.SortFunc(w.keys, func(a, b state.Key) int {
		return cmp.Or(cmp.Compare(a.Tenant, b.Tenant), cmp.Compare(a.RecordID, b.RecordID))
	})
	w.keys = slices.Compact(w.keys)
	return w, nil
}

// readList reads --from. only is the tenant of lines that name none, "" if
// several fit.
func (c *cli) readList(cfg *config.Config, from, only string, w *wanted) (err error) {
	r, name := c.stdin, "standard input"
	if from != "-" {
		f, err := os.Open(from)
		if err != nil {
			return usage("read ids: %w", err)
		}
		defer func() { _ = f.Close() }() // nothing was written
		r, name = io.Reader(f), from
	}
	names := map[string]string{} // one string for a million lines
	for _, n := range cfg.TenantNames() {
		names[n] = n
	}
	bad := func(line int, why string) {
		if w.bad++; w.bad <= shownLines {
			c.say("%s:%d: %s", name, line, why)
		}
	}
	add := func(line int, tenant, id string) {
		t := names[cmp.Or(tenant, only)]
		switch {
		case tenant == "" && only == "":
			bad(line, "which tenant? the configuration has "+strings.Join(cfg.TenantNames(), ", "))
		case t == "":
			bad(line, fmt.Sprintf("no tenant %q in the configuration", plain(tenant)))
		case c.tenant != "" && t != c.tenant:
			bad(line, fmt.Sprintf("it is of tenant %s, but --tenant says %s", t, c.tenant))
		default:
			w.keys = append(w.keys, state.Key{Tenant: t, RecordID: id})
		}
	}
	err = readIDs(r, idSink{id: add, bad: bad})
	if w.bad > shownLines {
		c.say("%s: and %d more such lines", name, w.bad-shownLines)
	}
	if err != nil {
		return usage("read ids from %s: %w", name, err)
	}
	return nil
}
