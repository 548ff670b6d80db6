package main

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"

	"archiver/internal/config"
	"archiver/internal/state/bolt"
)

// A state that somebody holds who never answers is an error that says what to
// do.
func TestConnectHeld(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	st, err := bolt.Open(t.Context(), path, bolt.Options{Clock: time.Now, Logger: zap.NewNop()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = st.Close() })
	c := &cli{startingUp: time.Millisecond}
	a, err := c.connect(t.Context(), &config.Config{State: config.State{Path: path}}, opening{log: zap.NewNop()})
	if err == nil {
		t.Fatal("opened", a.Close())
	}
	if !strings.HasPrefix(err.Error(), "open state "+path+": locked: another process holds it, and nobody answers on its socket; ") {
		t.Error(err)
	}
}
