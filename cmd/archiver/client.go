package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"go.uber.org/zap"

	"archiver/internal/config"
	"archiver/internal/daemon"
	"archiver/internal/socket"
	"archiver/internal/state"
)

// client speaks to the archiver that has the state: a running one over its
// socket, else one that this process opens and that ends with the command.
// Either answers through the same handlers.
type client struct {
	http  *http.Client
	state string         // base name of the state file, which the answers have to name
	d     *daemon.Daemon // nil: a running archiver answers
	srv   *http.Server   // of d
}

// remote reports whether a running archiver answers.
func (a *client) remote() bool { return a.d == nil }

// opening is how a command opens a state that nobody holds.
type opening struct {
	log   *zap.Logger
	makes bool // make a state where there is none
}

// errNoState says that nothing was ever archived here.
var errNoState = errors.New("there is no such file")

// connect finds who has the state, or opens it.
func (c *cli) connect(ctx context.Context, cfg *config.Config, o opening) (*client, error) {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	late := time.After(c.startingUp)
	for {
		a, err := c.attach(ctx, cfg, o)
		locked, ok := errors.AsType[*state.OpenError](err)
		if !ok || locked.Kind != state.StateLocked {
			return a, err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-late:
			return nil, fmt.Errorf("open state %s: locked: another process holds it, and nobody answers on its socket; if an archiver is just starting, wait and run the command again, else see what it logs, or stop it", cfg.State.Path)
		}
	}
}

// attach tries once.
func (c *cli) attach(ctx context.Context, cfg *config.Config, o opening) (*client, error) {
	conn, err := socket.Dial(ctx, cfg.State.Path)
	if err == nil {
		return overSocket(cfg, conn), nil
	}
	if !errors.Is(err, socket.ErrNobody) {
		return nil, err
	}
	if c.glanced {
		return nil, errors.New("the archiver that was running has stopped just now; run the command again")
	}
	if !o.makes {
		if err := thereIs(cfg); err != nil {
			return nil, err
		}
	}
	d, err := daemon.Open(ctx, cfg, daemon.Options{Logger: o.log, UserAgent: userAgent(), Version: buildVersion().version, Commit: buildVersion().commit})
	if err != nil {
		return nil, err
	}
	return inProcess(cfg, d), nil
}

// thereIs refuses a state that was never made. Who only looks makes none.
func thereIs(cfg *config.Config) error {
	if _, err := os.Stat(cfg.State.Path); errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("open state %s: %w; nothing was archived yet, or state.path in %s names another one", cfg.State.Path, errNoState, cfg.Path)
	}
	return nil
}

// overSocket uses conn for the first request, and dials for further ones.
func overSocket(cfg *config.Config, conn net.Conn) *client {
	first := make(chan net.Conn, 1)
	first <- conn
	return &client{state: filepath.Base(cfg.State.Path), http: &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			select {
			case conn := <-first:
				return conn, nil
			default:
				return socket.Dial(ctx, cfg.State.Path)
			}
		},
	}}}
}

// inProcess serves the daemon's handlers to this process alone.
func inProcess(cfg *config.Config, d *daemon.Daemon) *client {
	p := newPipes()
	srv := &http.Server{Handler: d.Handler(), ReadHeaderTimeout: time.Minute}
	go func() { _ = srv.Serve(p) }() // ends by Close with http.ErrServerClosed
	return &client{
		state: filepath.Base(cfg.State.Path), d: d, srv: srv,
		http: &http.Client{Transport: &http.Transport{DialContext: p.dial}},
	}
}

// handlersEnd is how long handlers whose client has gone may take to notice.
const handlersEnd = 5 * time.Second

// Close ends the archiver of this process; a running one goes on.
func (a *client) Close() error {
	a.http.CloseIdleConnections()
	if a.remote() {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), handlersEnd)
	defer cancel()
	if a.srv.Shutdown(ctx) != nil {
		_ = a.srv.Close() // the state, which is closed next, refuses those that are left
	}
	return a.d.Close()
}

// reach returns the configuration as far as this command needs it: beside a
// running archiver neither its secrets nor that it is right in every line, else
// all of it.
func (c *cli) reach(ctx context.Context) (*config.Config, error) {
	glance, err := config.Glance(c.configPath, c.env)
	if err != nil {
		return c.load() // which says better what is wrong
	}
	conn, err := socket.Dial(ctx, glance.State.Path)
	switch {
	case err == nil:
		c.glanced = true
		return glance, conn.Close()
	case errors.Is(err, socket.ErrNobody):
		return c.load()
	}
	return nil, err
}

// asking runs a command that asks something and ends. The first SIGINT or
// SIGTERM ends its context, the second one is the system's own.
func (c *cli) asking(ctx context.Context, makes bool, f func(ctx context.Context, a *client) error) (err error) {
	cfg, err := c.reach(ctx)
	if err != nil {
		return err
	}
	told, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	ctx, interrupt := context.WithCancel(ctx)
	defer interrupt()
	defer context.AfterFunc(told, func() {
		stop() // whoever hears of the first signal may count on the second one
		interrupt()
	})()
	quiet := cfg.Log
	if quiet.Level == "debug" || quiet.Level == "info" {
		quiet.Level = "warn" // what was done is said in the answer
	}
	logs, err := newLogger(quiet, c.stderr, isTerminal(c.stderr))
	if err != nil {
		return err
	}
	defer logs.done()
	a, err := c.connect(ctx, cfg, opening{log: logs.Logger, makes: makes})
	if err == nil {
		defer closing(&err, a)
		c.cfg = cfg
		err = f(ctx, a)
	}
	if o, ok := errors.AsType[*outcome](err); err != nil && ctx.Err() != nil && (!ok || !o.stands) {
		return errors.New("interrupted")
	}
	return err
}
