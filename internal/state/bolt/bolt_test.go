package bolt_test

import (
	"path/filepath"
	"sync"
	"testing"
	"time"

	"go.uber.org/zap"

	"archiver/internal/state"
	"archiver/internal/state/bolt"
	"archiver/internal/state/statetest"
)

func options() bolt.Options {
	return bolt.Options{Clock: time.Now, Logger: zap.NewNop()}
}

func openAt(t testing.TB, path string) *bolt.Store {
	t.Helper()
	s, err := bolt.Open(t.Context(), path, options())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func TestContract(t *testing.T) {
	t.Parallel()
	var paths sync.Map // of a store
	open := func(t *testing.T, path string) state.Store {
		s := openAt(t, path)
		paths.Store(s, path)
		return s
	}
	statetest.Run(t, func(t *testing.T) state.Store {
		return open(t, filepath.Join(t.TempDir(), "state.db"))
	}, func(t *testing.T, s state.Store) state.Store {
		path, _ := paths.Load(s)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		return open(t, path.(string))
	})
}
