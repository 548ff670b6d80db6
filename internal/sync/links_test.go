package sync

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"archiver/internal/fault"
	"archiver/internal/meetingapi"
	"archiver/internal/state"
)

// listing names one finished file of a recording by a link.
func listing(url string) meetingapi.Listing {
	return meetingapi.Listing{Items: []meetingapi.Item{{
		RecordID: "r", StartRaw: "2019-05-31 01:43:09", StopRaw: "2019-05-31 01:43:23",
		StopTime: time.Date(2019, 5, 31, 1, 43, 23, 0, time.UTC), DownURL: url,
	}}}
}

func fileOf(l meetingapi.Listing) state.FileRef {
	return state.FileRef{Key: state.Key{Tenant: "acme", RecordID: "r"}, FileID: meetingapi.Identify("r", l.Items)[0].FileID}
}

// TestLinksOfDelistedFiles holds that files which no listing names cost a
// bounded number of calls, however many ask at once.
func TestLinksOfDelistedFiles(t *testing.T) {
	t.Parallel()
	l := NewLinks(time.Now, nil)
	var asked atomic.Int64
	l.SetAsk(func(context.Context, state.Key) error { asked.Add(1); return nil })
	var wg sync.WaitGroup
	k := state.Key{Tenant: "acme", RecordID: "r"}
	for _, id := range []string{"one", "two", "three"} {
		wg.Go(func() {
			_, err := l.Get(t.Context(), state.FileRef{Key: k, FileID: id}, "")
			if fault.KindOf(err) != fault.NotFound {
				t.Errorf("%s: %v", id, err)
			}
		})
	}
	wg.Wait()
	if n := asked.Load(); n < 1 || n > 6 {
		t.Errorf("asked %d times", n)
	}
}

func TestLinks(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_600_000_000, 0)
	l := NewLinks(func() time.Time { return now }, nil)
	url := "http://host/1866_094309.mp4?Expires=1600003600"
	f := fileOf(listing(url))
	asked := 0
	var answer meetingapi.Listing
	var fails error
	l.SetAsk(func(_ context.Context, k state.Key) error {
		asked++
		if fails == nil && k.RecordID == "other" {
			l.Seen(k, answer)
		}
		return fails
	})
	get := func(refresh bool, want string, calls int) {
		t.Helper()
		before, ask := asked, l.Get
		if refresh {
			ask = func(ctx context.Context, f state.FileRef, from string) (string, error) {
				return l.Refresh(ctx, f, from, RefreshRefused)
			}
		}
		if got, _ := ask(t.Context(), f, "other"); got != want || asked-before != calls {
			t.Errorf("got %q after %d calls, want %q after %d", got, asked-before, want, calls)
		}
	}
	get(false, "", 2) // its own listing is empty, and so is that of the one that named it
	answer = listing(url)
	get(false, url, 2)
	get(false, url, 0)
	now = now.Add(time.Hour - 30*time.Second) // less than a minute is left: refreshed, and used whatever it says
	get(false, url, 2)
	now = now.Add(-time.Hour)
	get(false, url, 0)
	get(true, url, 2)
	fails = errors.New("down")
	get(true, "", 2)
	l.Seen(f.Key, meetingapi.Listing{})
	get(false, "", 2)
}

func TestLinksAreBounded(t *testing.T) {
	t.Parallel()
	l := NewLinks(time.Now, nil)
	for i := range maxLinks + 10 {
		it := listing("http://host/a.mp4")
		it.Items[0].RecordID = string(rune('a'+i%26)) + time.Unix(int64(i), 0).Format("150405.000000000") + time.Unix(int64(i), 0).Format("0102")
		l.Seen(state.Key{Tenant: "acme", RecordID: it.Items[0].RecordID}, it)
	}
	if len(l.byKey) > maxLinks || len(l.order) != len(l.byKey) {
		t.Errorf("%d recordings are kept, %d in order", len(l.byKey), len(l.order))
	}
}
