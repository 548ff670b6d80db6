package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"archiver/internal/apitype"
	"archiver/internal/meetingapi"
	"archiver/internal/state"
)

// tenants are those that a command without a tenant may mean: --tenant alone
// if it is given and known, else all of the configuration and of the state.
func (c *cli) tenants(ctx context.Context, a *client) ([]string, error) {
	var s apitype.Stats
	if err := a.call(ctx, http.MethodGet, "/stats", nil, nil, &s); err != nil {
		return nil, err
	}
	var names []string
	for _, t := range s.Tenants {
		names = append(names, t.Tenant)
	}
	switch {
	case c.tenant == "":
		return names, nil
	case slices.Contains(names, c.tenant):
		return []string{c.tenant}, nil
	}
	return nil, usage("--tenant %s: no such tenant; there are %s", c.tenant, strings.Join(names, ", "))
}

// find looks for a recording in the tenants that may have it.
func (c *cli) find(ctx context.Context, a *client, tenants []string, id string) (apitype.Detail, error) {
	var found []apitype.Detail
	var having []string
	for _, name := range tenants {
		var d apitype.Detail
		err := a.call(ctx, http.MethodGet, recordingPath(name, id), nil, nil, &d)
		switch {
		case missing(err):
		case err != nil:
			return d, err
		default:
			found, having = append(found, d), append(having, name)
		}
	}
	switch len(found) {
	case 0:
		return apitype.Detail{}, fmt.Errorf("recording %s of %s: %w; archiver backfill %s archives it", id, strings.Join(tenants, " or "), state.ErrNotFound, id)
	case 1:
		return found[0], nil
	}
	return apitype.Detail{}, usage("which recording %s? %s have one; say it with --tenant", id, strings.Join(having, ", "))
}

// theTenant is the tenant of ids that name none: --tenant, or the only one
// that is configured.
func (c *cli) theTenant(names []string, path string) (string, error) {
	switch {
	case c.tenant != "":
		if !slices.Contains(names, c.tenant) {
			return "", usage("--tenant %s: no such tenant in %s; it has %s", c.tenant, path, strings.Join(names, ", "))
		}
		return c.tenant, nil
	case len(names) == 1:
		return names[0], nil
	}
	return "", usage("which tenant? %s has %s; say it with --tenant", path, strings.Join(names, ", "))
}

// validIDs refuses arguments that are no recordIds before anything is done.
func validIDs(ids []string) error {
	for _, id := range ids {
		if !meetingapi.ValidRecordID(id) {
			return usage("%q is no recordId: %s", id, wantID)
		}
	}
	return nil
}

// once leaves out what was named before.
func once(ids []string) []string {
	var out []string
	named := map[string]bool{}
	for _, id := range ids {
		if !named[id] {
			named[id], out = true, append(out, id)
		}
	}
	return out
}

// tally is what came of several things that are tried one by one: the failure
// of one does not stop the others.
type tally struct {
	c    *cli
	code int
}

// add tells an error and remembers what it means; nil is fine.
func (t *tally) add(err error) {
	if err == nil {
		return
	}
	code := exitFailed
	if o, ok := errors.AsType[*outcome](err); ok {
		code = o.code
		if o.err == nil { // everything has been said
			err = nil
		}
	}
	if err != nil {
		t.c.say("%s: %s", t.c.command, advised(err))
	}
	t.needs(code)
}

// needs remembers an exit code: wrong usage weighs more than failure, and that
// more than what needs a person.
func (t *tally) needs(code int) {
	weight := []int{exitFine, exitAttention, exitFailed, exitUsage}
	if slices.Index(weight, code) > slices.Index(weight, t.code) {
		t.code = code
	}
}

// outcome is the exit code of all; everything has been said.
func (t *tally) outcome() error {
	if t.code == exitFine {
		return nil
	}
	return &outcome{code: t.code}
}

// each finds the recordings and calls f for each; that one fails does not stop
// the others. One that is named twice is meant once.
func (c *cli) each(ctx context.Context, a *client, ids []string, f func(d apitype.Detail) error) error {
	tenants, err := c.tenants(ctx, a)
	if err != nil {
		return err
	}
	t := tally{c: c}
	for _, id := range once(ids) {
		d, err := c.find(ctx, a, tenants, id)
		if err == nil {
			err = f(d)
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		t.add(err)
	}
	return t.outcome()
}
