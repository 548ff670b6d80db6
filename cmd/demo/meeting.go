package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"archiver/internal/sandbox/pace"
	"archiver/internal/sandbox/vendorsim"
)

// meetings lets people meet and record themselves: the first time after
// o.opens, then, unless it is once, every o.every until ctx ends.
func (w *world) meetings(ctx context.Context, o options) error {
	if o.talks == 0 {
		return nil
	}
	p := newPerson(w)
	defer p.client.CloseIdleConnections()
	wait := o.opens
	for n := 0; pace.Wait(ctx, wait) == nil; n++ {
		begun := time.Now()
		tenant := []string{acme, globex}[n%2]
		err := w.meeting(ctx, p, tenant, fmt.Sprint(1870+n), o.talks)
		if ctx.Err() != nil {
			return nil // the meeting goes on without us
		}
		if err != nil || o.once {
			return err
		}
		wait = max(0, o.every-time.Since(begun))
	}
	return nil
}

// meeting is one meeting from its beginning to its end. Its recordId is
// written into record_ids_file as soon as it is known.
func (w *world) meeting(ctx context.Context, p person, tenant, conference string, talks time.Duration) error {
	w.vendor.AddConference(vendorsim.Conference{Key: conference, Tenant: tenant, EntID: 52})
	w.vendor.StartConference(conference)
	w.tell.say(time.Now(), tenant, "meeting %s has started", conference)
	id, err := p.call(ctx, "openRecord", tenant, conference)
	if err != nil {
		return err
	}
	w.tell.say(time.Now(), tenant, "somebody presses record in meeting %s: openRecord names recording %s", conference, short(id))
	if err := appendLine(w.idsFile(tenant), id); err != nil {
		return err
	}
	w.tell.say(time.Now(), tenant, "somebody writes %s into %s, which the archiver reads again", short(id), filepath.Base(w.idsFile(tenant)))
	if err := pace.Wait(ctx, talks); err != nil {
		return err
	}
	if _, err = p.call(ctx, "closeRecord", tenant, conference); err != nil {
		return err
	}
	w.mu.Lock()
	w.readyAt[id] = time.Now().Truncate(time.Second).Add(prepared)
	w.mu.Unlock()
	w.vendor.EndConference(conference)
	w.tell.say(time.Now(), tenant, "meeting %s ended; recording %s is being prepared", conference, short(id))
	return nil
}

// appendLine adds a line to a file, as echo ID >> FILE does.
func appendLine(path, text string) error {
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text + "\n")
	return errors.Join(err, f.Close())
}

// person uses the vendor's API as somebody with a button would: not through
// the archiver.
type person struct {
	api    string
	client *http.Client
}

func newPerson(w *world) person {
	return person{api: w.vendor.APIURL(), client: &http.Client{Transport: &http.Transport{}, Timeout: 10 * time.Second}}
}

// answer is what the vendor replies to a call.
type answer struct {
	Code string `json:"code"`
	Data struct {
		RecordID string `json:"recordId"`
	} `json:"data"`
}

// call makes one of the calls about a meeting that answer with a recordId.
func (p person) call(ctx context.Context, name, tenant, conference string) (recordID string, err error) {
	a, err := p.post(ctx, name, tenant, map[string]string{"conferenceKey": conference})
	if err == nil && a.Code != "200" {
		err = fmt.Errorf("the vendor answers code %s", a.Code)
	}
	if err != nil {
		return "", fmt.Errorf("%s of meeting %s: %w", name, conference, err)
	}
	return a.Data.RecordID, nil
}

func (p person) post(ctx context.Context, name, tenant string, params map[string]string) (a answer, err error) {
	body, err := json.Marshal(params)
	if err != nil {
		return a, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, p.api+"/meeting/"+name, bytes.NewReader(body))
	if err != nil {
		return a, err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("auth", authOf(tenant))
	resp, err := p.client.Do(req)
	if err != nil {
		return a, err
	}
	defer resp.Body.Close()
	err = json.NewDecoder(resp.Body).Decode(&a)
	return a, err
}
