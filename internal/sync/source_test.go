package sync

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"archiver/internal/meetingapi"
	"archiver/internal/state"
)

// Ranges that are refused together have one link asked for; who was refused
// the link of before takes the one that is known by now.
func TestRelinkOnce(t *testing.T) {
	t.Parallel()
	links := NewLinks(time.Now, nil)
	item := func(n int) meetingapi.Listing {
		return meetingapi.Listing{Items: []meetingapi.Item{{
			RecordID: "r", StartTime: time.Unix(0, 0), StopTime: time.Unix(60, 0), DownURL: fmt.Sprintf("http://files.example.com/a.mp4?sign=%d", n),
		}}}
	}
	first := meetingapi.Identify("r", item(0).Items)[0]
	ref := state.FileRef{Key: state.Key{Tenant: "acme", RecordID: "r"}, FileID: first.FileID}
	asked := 0
	links.SetAsk(func(_ context.Context, k state.Key) error {
		asked++
		links.Seen(k, item(asked))
		return nil
	})
	links.Seen(ref.Key, item(0))
	o := &origin{Syncer: &Syncer{o: Options{Links: links}}, ref: ref}
	refused, err := links.Get(t.Context(), ref, "")
	if err != nil {
		t.Fatal(err)
	}
	var ranges sync.WaitGroup
	for range 8 {
		ranges.Go(func() {
			if err := o.relink(t.Context(), refused); err != nil {
				t.Error(err)
			}
		})
	}
	ranges.Wait()
	if asked != 1 {
		t.Errorf("asked for %d links", asked)
	}
	if url, err := links.Get(t.Context(), ref, ""); err != nil || url == refused {
		t.Errorf("still the refused link, %v", err)
	}
}
