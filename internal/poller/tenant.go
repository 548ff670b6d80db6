package poller

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"go.uber.org/zap"

	"archiver/internal/fault"
	"archiver/internal/meetingapi"
)

// tenant is a tenant with what is remembered of it between polls.
type tenant struct {
	Tenant
	log   *zap.Logger
	again atomic.Bool // Trigger was called since the last run began

	beat pulse // of the runs

	judging sync.Mutex // held while it is found out whose fault a 403 is

	tracking sync.Mutex // guards what follows, and is held while ids are tracked
	listed   bool       // RecordIDs are tracked
	file     idsFile

	mu      sync.Mutex // guards what follows
	why     string     // the tenant is suspended: the vendor's refusal
	lastOK  string     // recordId that the vendor answered last
	savedOK string     // what the store knows of lastOK
	loaded  bool       // savedOK was read
	probes  int        // of this suspension
	failing bool       // the last call failed, and that was said
}

func (t *tenant) suspended() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.why
}

// answered notes that the vendor answered about recordID: it accepts the key.
func (t *tenant) answered(recordID string) {
	t.mu.Lock()
	was, failed := t.why, t.failing
	t.why, t.lastOK, t.failing, t.probes = "", recordID, false, 0
	t.mu.Unlock()
	if was != "" {
		t.log.Info("tenant recovered: the vendor accepts its key again", zap.String("record_id", recordID))
	} else if failed {
		t.log.Info("vendor answers again", zap.String("record_id", recordID))
	}
}

// failed says once that the vendor does not answer; each failure by itself is
// a debug line.
func (t *tenant) failed(recordID string, err error) {
	t.mu.Lock()
	first := !t.failing
	t.failing = true
	t.mu.Unlock()
	if first {
		t.log.Warn("vendor does not answer", zap.String("record_id", recordID), zap.Error(err))
	}
}

func (t *tenant) suspend(recordID string, err error) {
	t.mu.Lock()
	first := t.why == ""
	t.why = err.Error()
	t.mu.Unlock()
	if first {
		t.log.Error("tenant suspended: the vendor refuses its key", zap.String("record_id", recordID), zap.Error(err))
	}
}

// control returns the recordId that was answered last, "" if it would prove
// nothing of recordID.
func (t *tenant) control(recordID string) string {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.lastOK == recordID {
		return ""
	}
	return t.lastOK
}

// judge finds out whose fault a 403 is and returns the error to act on: kind
// Rejected if it is about this recording alone, Unauthorized if the tenant is
// suspended, another if nothing could be found out now.
func (p *Poller) judge(ctx context.Context, t *tenant, recordID string, refused error) error {
	t.judging.Lock()
	defer t.judging.Unlock()
	control := t.control(recordID)
	if t.suspended() != "" || control == "" {
		t.suspend(recordID, refused)
		return refused
	}
	_, err := t.Vendor.GetRecords(ctx, control, meetingapi.Background)
	t.beat.strike()
	p.opts.Observer.Polled(t.Name, err)
	switch kind := fault.KindOf(err); {
	case err == nil || kind == fault.NotReady:
		return &fault.Error{
			Op: "judge", Subject: recordID, Kind: fault.Rejected, Code: "403", Err: refused,
			Hint: "the vendor accepts the same key for " + control,
		}
	case kind == fault.Unauthorized:
		t.suspend(recordID, refused)
		return refused
	case kind == fault.BadRequest || kind == fault.Rejected:
		t.mu.Lock()
		t.lastOK = "" // deleted meanwhile, perhaps: it proves nothing any more
		t.mu.Unlock()
		t.suspend(recordID, refused)
		return refused
	default:
		return fmt.Errorf("whether the key or only recording %s is refused is open: %w", recordID, err)
	}
}

// probe asks once whether a suspended tenant is accepted again, by the last
// good recordId. It reports false if it is the turn of a due recording.
func (p *Poller) probe(ctx context.Context, t *tenant) bool {
	t.mu.Lock()
	id := t.lastOK
	t.probes++
	turn := t.probes%2 == 0 && id != ""
	t.mu.Unlock()
	if !turn {
		return false
	}
	listing, err := t.Vendor.GetRecords(ctx, id, meetingapi.Background)
	t.beat.strike()
	p.opts.Observer.Polled(t.Name, err)
	if err == nil {
		p.opts.Links.Seen(t.key(id), listing)
		t.answered(id)
	}
	return true
}

func (t *tenant) factName() string { return "poll/" + t.Name + "/last_ok" }

// recall loads the recordId that succeeded before the last restart.
func (p *Poller) recall(ctx context.Context, t *tenant) error {
	t.mu.Lock()
	loaded := t.loaded
	t.mu.Unlock()
	if loaded {
		return nil
	}
	b, err := p.opts.Store.Fact(ctx, t.factName())
	if err != nil {
		return fmt.Errorf("recall the last good recordId of tenant %s: %w", t.Name, err)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.loaded, t.savedOK = true, string(b)
	if t.lastOK == "" {
		t.lastOK = t.savedOK
	}
	return nil
}

// remember stores the recordId that succeeded, once a run: writing it with
// each poll would double the writes.
func (p *Poller) remember(ctx context.Context, t *tenant) error {
	t.mu.Lock()
	id, same := t.lastOK, t.lastOK == t.savedOK
	t.mu.Unlock()
	if same || id == "" {
		return nil
	}
	if err := p.opts.Store.SetFact(ctx, t.factName(), []byte(id)); err != nil {
		return fmt.Errorf("remember the last good recordId of tenant %s: %w", t.Name, err)
	}
	t.mu.Lock()
	t.savedOK = id
	t.mu.Unlock()
	return nil
}

// errSuspended is why Ask refuses.
var errSuspended = errors.New("the tenant is suspended because the vendor refuses its key")
