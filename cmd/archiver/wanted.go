package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"strings"

	"archiver/internal/config"
	"archiver/internal/explain"
	"archiver/internal/state"
)

// wanted is what the command line and --from name. A list is read while it is
// asked for, once, and not kept.
type wanted struct {
	c    *cli
	cfg  *config.Config
	args []string
	list io.Reader // nil: no --from
	name string    // of the list
	only string    // the tenant of ids that name none, "" if several fit
	bad  int       // lines of the list that hold no id, once it was read
}

// named reports whether ids, or a list of them, were given.
func (w *wanted) named() bool { return w.list != nil || len(w.args) > 0 }

// attention is the outcome of a command that did all that it could be told.
func (w *wanted) attention() error {
	if w.bad > 0 {
		return &outcome{code: exitAttention, err: fmt.Errorf("%s not understood; correct and run again", explain.Count(w.bad, "line"))}
	}
	return nil
}

// shownLines is how many wrong lines of a list are named.
const shownLines = 100

// wanted looks at what was named. Wrong arguments are wrong usage; wrong lines
// are told when they are read, and left out. Close ends it.
func (c *cli) wanted(cfg *config.Config, from string, args []string) (*wanted, error) {
	w := &wanted{c: c, cfg: cfg, args: args, name: from}
	if from == "" && len(args) == 0 {
		if c.tenant != "" {
			return nil, usage("--tenant %s without any id: name the recordings, or leave --tenant out for all that is tracked", c.tenant)
		}
		return w, nil
	}
	var ambiguous error
	w.only, ambiguous = c.theTenant(cfg.TenantNames(), cfg.Path)
	if c.tenant != "" && ambiguous != nil || len(args) > 0 && ambiguous != nil {
		return nil, ambiguous
	}
	if err := validIDs(args); err != nil {
		return nil, err
	}
	switch from {
	case "":
	case "-":
		w.list, w.name = c.stdin, "standard input"
	default:
		f, err := os.Open(from)
		if err != nil {
			return nil, usage("read ids: %w", err)
		}
		w.list = f
	}
	return w, nil
}

// Close lets go of the list.
func (w *wanted) Close() {
	if f, ok := w.list.(*os.File); ok && f != os.Stdin {
		_ = f.Close() // nothing was written
	}
}

// errEnough ends the reading of a list.
var errEnough = errors.New("enough")

// all yields the recordings in the order in which they were named, some maybe
// more than once. An error comes last.
func (w *wanted) all() iter.Seq2[state.Key, error] {
	return func(yield func(state.Key, error) bool) {
		for _, id := range w.args {
			if !yield(state.Key{Tenant: w.only, RecordID: id}, nil) {
				return
			}
		}
		if w.list == nil {
			return
		}
		err := w.read(func(k state.Key) error {
			if !yield(k, nil) {
				return errEnough
			}
			return nil
		})
		if err != nil && !errors.Is(err, errEnough) {
			yield(state.Key{}, err)
		}
	}
}

// begun is all, whose first recording was looked for already: there is none,
// and no error either, if none is true.
func (w *wanted) begun() (all iter.Seq2[state.Key, error], none bool, err error) {
	next, stop := iter.Pull2(w.all())
	first, err, ok := next()
	if !ok || err != nil {
		stop()
		return nil, !ok, err
	}
	return func(yield func(state.Key, error) bool) {
		defer stop()
		for k, err, ok := first, error(nil), true; ok && yield(k, err); k, err, ok = next() {
		}
	}, false, nil
}

// collected is the set of all.
func collected(all iter.Seq2[state.Key, error]) (*state.KeySet, error) {
	var keys state.KeySetBuilder
	for k, err := range all {
		if err != nil {
			return nil, err
		}
		keys.Add(k)
	}
	return keys.Set(), nil
}

// read reads the list. Errors: take's, and a list that is none.
func (w *wanted) read(take func(state.Key) error) error {
	names := map[string]string{} // one string for a million lines
	for _, n := range w.cfg.TenantNames() {
		names[n] = n
	}
	bad := func(line int, why string) {
		if w.bad++; w.bad <= shownLines {
			w.c.say("%s:%d: %s", w.name, line, why)
		}
	}
	err := readIDs(w.list, idSink{bad: bad, id: func(line int, tenant, id string) error {
		t := names[cmp.Or(tenant, w.only)]
		switch {
		case tenant == "" && w.only == "":
			bad(line, "which tenant? the configuration has "+strings.Join(w.cfg.TenantNames(), ", "))
		case t == "":
			bad(line, fmt.Sprintf("no tenant %q in the configuration", plain(tenant)))
		case w.c.tenant != "" && t != w.c.tenant:
			bad(line, fmt.Sprintf("it is of tenant %s, but --tenant says %s", t, w.c.tenant))
		default:
			return take(state.Key{Tenant: t, RecordID: id})
		}
		return nil
	}})
	if w.bad > shownLines {
		w.c.say("%s: and %d more such lines", w.name, w.bad-shownLines)
	}
	if err != nil && !errors.Is(err, errEnough) {
		return usage("read ids from %s: %w", w.name, err)
	}
	return err
}
