package statetest

import (
	"bytes"
	"errors"
	"sync"

	"archiver/internal/state"
)

func maintenanceTests() map[string]func(*env) {
	return map[string]func(*env){
		"Facts": func(e *env) {
			want := func(name string, v []byte) {
				e.Helper()
				got, err := e.s.Fact(e.Context(), name)
				e.ok(err)
				if !bytes.Equal(got, v) || (got == nil) != (v == nil) {
					e.Errorf("fact %s is %q, want %q", name, got, v)
				}
			}
			want("a", nil)
			value := []byte("one")
			e.ok(e.s.SetFact(e.Context(), "a", value))
			value[0] = 'x'
			e.ok(e.s.SetFact(e.Context(), "b", []byte{}))
			want("a", []byte("one"))
			e.restart()
			want("a", []byte("one"))
			want("b", []byte{})
			e.ok(e.s.SetFact(e.Context(), "a", []byte{0, 1, 255}))
			want("a", []byte{0, 1, 255})
			e.ok(e.s.SetFact(e.Context(), "a", nil))
			want("a", nil)
			if err := e.s.SetFact(e.Context(), "", []byte("x")); err == nil {
				e.Error("a fact without a name was stored")
			}
		},
		"Backup": func(e *env) {
			e.archive(rec("acme", 1), "f")
			var b bytes.Buffer
			n, err := e.s.Backup(e.Context(), &b)
			e.ok(err)
			if n != int64(b.Len()) || n == 0 {
				e.Errorf("%d bytes are reported, %d were written", n, b.Len())
			}
			full := errors.New("full")
			if _, err := e.s.Backup(e.Context(), failing{full}); !errors.Is(err, full) {
				e.Errorf("the writer's error became %v", err)
			}
			if n, err := e.s.Size(); err != nil || n <= 0 {
				e.Errorf("the size is %d, %v", n, err)
			}
		},
		"Close": func(e *env) {
			k := rec("acme", 1)
			e.track(k)
			s := e.open(e.T)
			_, err := s.Track(e.Context(), []state.Key{k})
			e.ok(err)
			e.ok(s.Close())
			e.ok(s.Close())
			calls := map[string]func() error{
				"Update":       func() error { _, err := s.Update(e.Context(), k, state.Do(state.Settle{})); return err },
				"Track":        func() error { _, err := s.Track(e.Context(), []state.Key{k}); return err },
				"Get":          func() error { _, err := s.Get(e.Context(), k); return err },
				"List":         func() error { _, err := s.List(e.Context(), state.Query{}); return err },
				"Totals":       func() error { _, err := s.Totals(e.Context()); return err },
				"AddParts":     func() error { return s.AddParts(e.Context(), ref(k, "f"), "u", part(1)) },
				"Parts":        func() error { _, err := s.Parts(e.Context(), ref(k, "f")); return err },
				"Claim":        func() error { _, err := s.Claim(e.Context(), state.WorkPoll, "acme", far(), 1); return err },
				"Events":       func() error { _, err := s.Events(e.Context(), 0, 1); return err },
				"EventsOf":     func() error { _, err := s.EventsOf(e.Context(), k, 1); return err },
				"LastEvent":    func() error { _, err := s.LastEvent(e.Context()); return err },
				"Backlog":      func() error { _, err := s.Backlog(e.Context(), "acme", 1); return err },
				"Session":      func() error { _, err := s.Session(e.Context(), session("acme", 1, state.KindLive)); return err },
				"OpenSessions": func() error { _, err := s.OpenSessions(e.Context(), ""); return err },
				"MoveConference": func() error {
					_, err := s.MoveConference(e.Context(), session("acme", 1, state.KindLive), decided(state.Intend{}))
					return err
				},
				"StoreWarrant": func() error { _, err := s.StoreWarrant(e.Context(), e.warrant("w", k), 1, permit); return err },
				"Warrant":      func() error { _, err := s.Warrant(e.Context(), "acme", "w"); return err },
				"Fact":         func() error { _, err := s.Fact(e.Context(), "a"); return err },
				"SetFact":      func() error { return s.SetFact(e.Context(), "a", nil) },
				"Backup":       func() error { _, err := s.Backup(e.Context(), &bytes.Buffer{}); return err },
				"Check":        func() error { return s.Check(e.Context(), func(string) {}) },
				"Size":         func() error { _, err := s.Size(); return err },
			}
			for name, call := range calls {
				if err := call(); err == nil || errors.Is(err, state.ErrNotFound) {
					e.Errorf("%s of a closed store: %v", name, err)
				}
			}
		},
		"CloseUnderLoad": func(e *env) {
			s := e.open(e.T)
			var wg sync.WaitGroup
			begun := make(chan struct{}, 8)
			for w := range 8 {
				wg.Go(func() {
					for i := 0; ; i++ {
						if _, err := s.Track(e.Context(), []state.Key{rec("acme", 1000*w+i)}); err != nil {
							return
						}
						if i == 2 {
							begun <- struct{}{}
						}
					}
				})
			}
			for range 8 {
				<-begun
			}
			e.ok(s.Close())
			wg.Wait()
		},
		"CheckBesideWriters": func(e *env) {
			var wg sync.WaitGroup
			for w := range 4 {
				wg.Go(func() {
					for i := range 10 {
						k := rec("acme", 100*w+i)
						if _, err := Archive(e.Context(), e.s, k, "f"); err != nil {
							e.Error(err)
							return
						}
					}
				})
			}
			for range 10 {
				e.clean()
			}
			wg.Wait()
		},
	}
}

type failing struct{ err error }

func (f failing) Write([]byte) (int, error) { return 0, f.err }
