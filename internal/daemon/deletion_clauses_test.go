package daemon_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"archiver/internal/sandbox/faultproxy"
	"archiver/internal/sandbox/vendorsim"
	"archiver/internal/state"
)

// clause is one fact on which a deletion depends.
type clause struct {
	name  string
	build func(tr *trial, id string)               // nil: a recording of one file
	spoil func(tr *trial, id string) (mend func()) // nil: build has spoiled it already
	mend  func(tr *trial, id string)               // instead of what spoil returned
	why   string                                   // in Deletion.Error; "": it is not even tried
	stays bool                                     // mending does not lead to a deletion
}

func inject(f func(id string) vendorsim.Fault) func(*trial, string) func() {
	return func(tr *trial, id string) func() { return tr.vendor.Inject(f(id)) }
}

func answer(do vendorsim.Action) func(*trial, string) func() {
	return inject(func(id string) vendorsim.Fault { return listed(id, do) })
}

func sourceAnswers(do vendorsim.Action) func(*trial, string) func() {
	return inject(func(id string) vendorsim.Fault {
		return vendorsim.Fault{Call: vendorsim.Download, Subject: id, Do: do}
	})
}

func headAnswers(do ...faultproxy.Action) func(*trial, string) func() {
	return func(tr *trial, id string) func() {
		var undo []func()
		for _, a := range do {
			undo = append(undo, tr.proxy.Inject(heads(id, a)))
		}
		return func() {
			for _, f := range undo {
				f()
			}
		}
	}
}

func header(name, value string) func(*trial, string) func() {
	return headAnswers(faultproxy.SetHeader{Name: name, Value: value})
}

func clauses() []clause {
	pair := func(tr *trial, id string) { tr.pair(id) }
	two := func(tr *trial, id string) { tr.recording(id, 3000, 5000) }
	accept := func(tr *trial, id string) { tr.update(id, state.Accept{}) }
	hold := func(suffix string) func(*trial, string) func() {
		return func(tr *trial, id string) func() {
			tr.update(id+suffix, state.Hold{On: true})
			return func() { tr.update(id+suffix, state.Hold{}) }
		}
	}
	add := func(item func(first vendorsim.Item) vendorsim.Item) vendorsim.EditItems {
		return func(items []vendorsim.Item) []vendorsim.Item { return append(items, item(slices.Clone(items[0]))) }
	}
	last := func(edit func(it *vendorsim.Item)) vendorsim.EditItems {
		return func(items []vendorsim.Item) []vendorsim.Item {
			if len(items) > 0 { // none are left once it is deleted
				edit(&items[len(items)-1])
			}
			return items
		}
	}
	about := func(edit vendorsim.EditItems) func(*trial, string) func() { // the other one, which must not be deleted by itself before
		return func(tr *trial, id string) func() {
			mend, own := tr.vendor.Inject(listed(id, edit)), tr.vendor.Inject(listed(id+"-s", vendorsim.Envelope{Code: "403"}))
			return func() { mend(); own() }
		}
	}
	far := time.Now().UTC()
	return []clause{
		{name: "held", spoil: hold("")},
		{name: "other-held", build: pair, spoil: hold("-s"), why: "other-held-s is on hold"},

		// The fresh listing.
		{name: "list-404", spoil: answer(vendorsim.Status{Code: 404}), why: "list the source before deleting it"},
		{name: "list-403", spoil: answer(vendorsim.Envelope{Code: "403"}), why: "list the source before deleting it"},
		{name: "list-400", spoil: answer(vendorsim.Envelope{Code: "400"}), why: "list the source before deleting it"},
		{name: "list-200008", spoil: answer(vendorsim.Envelope{Code: "200008"}), why: "list the source before deleting it"},
		{name: "list-others", build: pair, spoil: answer(vendorsim.EditItems(func(items []vendorsim.Item) []vendorsim.Item {
			return slices.DeleteFunc(items, func(it vendorsim.Item) bool { return it[0].Value == "list-others" })
		})), why: "lists no file of it", stays: true},
		{name: "item-of-a-stranger", spoil: answer(add(func(it vendorsim.Item) vendorsim.Item {
			it.Set("recordId", "stranger")
			return it
		})), why: "names recording stranger, which is not archived"},
		{name: "item-unfinished", build: two, spoil: answer(last(func(it *vendorsim.Item) { it.Drop("stopTime") })), why: "not finished"},
		{name: "item-of-nothing", build: two, spoil: answer(last(func(it *vendorsim.Item) { it.Drop("downUrl") })), why: "not finished"},
		{name: "item-unfinished-of-another", build: pair, spoil: about(last(func(it *vendorsim.Item) { it.Drop("downUrl") })), why: "item-unfinished-of-another-s that is not finished"},
		{name: "size-missing", spoil: answer(vendorsim.WithoutMembers("fileSize")), why: "with -1 bytes now"},
		{name: "size-changed", spoil: answer(vendorsim.WrongFileSize(4097)), why: "with 4097 bytes now", stays: true},
		{name: "size-changed-of-another", build: pair, spoil: about(last(func(it *vendorsim.Item) { it.Set("fileSize", 3001) })), why: "size-changed-of-another-s with 3001 bytes now", stays: true},

		// The source, asked for one byte.
		{name: "source-403", spoil: sourceAnswers(vendorsim.Status{Code: 403}), why: "look at the source before deleting it"},
		{name: "source-404", spoil: sourceAnswers(vendorsim.Status{Code: 404}), why: "look at the source before deleting it"},
		{name: "source-503", spoil: sourceAnswers(vendorsim.Status{Code: 503}), why: "look at the source before deleting it"},
		{name: "source-of-another-404", build: pair, spoil: inject(func(id string) vendorsim.Fault {
			return vendorsim.Fault{Call: vendorsim.Download, Subject: id + "-s", Do: vendorsim.Status{Code: 404}}
		}), why: "look at the source before deleting it"},

		// The bucket, asked again.
		{name: "head-404", spoil: headAnswers(faultproxy.Reply{Status: 404, Code: "NoSuchKey"}), why: "ask the bucket for file"},
		{name: "head-500", spoil: headAnswers(faultproxy.Reply{Status: 500, Code: "InternalError"}), why: "ask the bucket for file"},
		{name: "head-of-another-404", build: pair, spoil: func(tr *trial, id string) func() {
			return tr.proxy.Inject(heads(id+"-s", faultproxy.Reply{Status: 404, Code: "NoSuchKey"}))
		}, why: "ask the bucket for file"},
		{name: "head-etag", spoil: header("ETag", `"00000000000000000000000000000000"`), why: "is not the one that was verified"},
		{name: "head-modified", build: func(tr *trial, id string) { // HEAD was asked when it was made of its parts
			tr.recording(id, 2*part)
		}, spoil: header("Last-Modified", "Fri, 31 May 2019 01:43:09 GMT"), why: "is not the one that was verified"},
		{name: "head-version", spoil: header("X-Amz-Version-Id", "another"), why: "is not the one that was verified"},
		{name: "head-size", spoil: header("Content-Length", "4095"), why: "is not the one that was verified"},
		{name: "head-checksum", spoil: header("X-Amz-Checksum-Crc64nvme", "AAAAAAAAAAA="), why: "is another one"},
		{name: "head-no-checksum", spoil: headAnswers(faultproxy.StripChecksums{}), why: "does not prove"},
		{name: "head-composite", spoil: header("X-Amz-Checksum-Type", "COMPOSITE"), why: "does not prove"},

		// The clocks.
		{name: "bucket-behind", spoil: header("Date", far.Add(-6*time.Minute).Format(http.TimeFormat)), why: "clock and the bucket's"},
		{name: "bucket-ahead", spoil: header("Date", far.Add(7*time.Minute).Format(http.TimeFormat)), why: "clock and the bucket's"},

		// Marks.
		{name: "size-mismatch", build: func(tr *trial, id string) {
			tr.recording(id, 4000)
			tr.vendor.Inject(listed(id, vendorsim.WrongFileSize(4001)))
		}, mend: accept},
		{name: "length-unproven", build: func(tr *trial, id string) {
			tr.recording(id, 4000)
			tr.vendor.Inject(listed(id, vendorsim.WithoutMembers("fileSize")))
			for _, do := range []vendorsim.Action{vendorsim.NoLength{}, vendorsim.NoRanges{}} {
				tr.vendor.Inject(vendorsim.Fault{Call: vendorsim.Download, Subject: id, Do: do})
			}
		}, mend: accept},
		{name: "content-suspect", build: func(tr *trial, id string) {
			tr.recording(id, 4000)
			tr.vendor.Inject(vendorsim.Fault{Call: vendorsim.Download, Subject: id, Do: vendorsim.MissingMoov{}})
		}, mend: accept},
		{name: "other-marked", build: func(tr *trial, id string) {
			tr.pair(id)
			tr.vendor.Inject(vendorsim.Fault{Call: vendorsim.Download, Subject: id + "-s", Do: vendorsim.MissingMoov{}})
		}, mend: func(tr *trial, id string) { tr.update(id+"-s", state.Accept{}) }, why: "is marked content_suspect"},
	}
}

// Each clause has a recording in which one fact is not as it should be: it is
// not deleted until the fact is mended, and then it is. Recordings of the same
// shape in which all is well are deleted meanwhile.
func TestDeletionClauses(t *testing.T) {
	t.Parallel()
	tr := newTrial(t, worldOptions{})
	all := clauses()
	good := []string{"good", "good-two", "good-pair"}
	tr.recording("good", 4096)
	tr.recording("good-two", 3000, 5000)
	tr.pair("good-pair")
	var ids, mended []string
	for _, c := range all {
		build := c.build
		if build == nil {
			build = func(tr *trial, id string) { tr.recording(id, 4096) }
		}
		build(tr, c.name)
		ids = append(ids, c.name)
		if !c.stays {
			mended = append(mended, c.name)
		}
	}
	tr.archive(append(slices.Clone(ids), good...)...)

	tr.enable("max_per_hour: 1000")
	mend := make([]func(), len(all))
	for i, c := range all {
		mend[i] = func() { c.mend(tr, c.name) }
		if c.spoil != nil {
			mend[i] = c.spoil(tr, c.name)
		}
	}
	tr.until("the good ones deleted, the spoiled ones refused", func() bool {
		for _, c := range all {
			if !strings.Contains(tr.rec(c.name).Deletion.Error, c.why) {
				return false
			}
		}
		for _, id := range good {
			if !tr.deleted(id) {
				return false
			}
		}
		return true
	})
	for _, c := range all {
		if e := tr.rec(c.name).Deletion.Error; !strings.Contains(e, c.why) {
			t.Errorf("%s: refused because %q, want %q", c.name, e, c.why)
		}
		tr.called(c.name, 0)
	}
	for _, id := range good {
		tr.called(id, 1)
		tr.proven(id)
	}

	for i, c := range all {
		if !c.stays {
			mend[i]()
		}
	}
	tr.advance(31 * time.Second) // the wait after a try that did not succeed
	tr.untilDeleted(mended...)
	for _, c := range all {
		if c.stays {
			tr.called(c.name, 0)
			continue
		}
		tr.called(c.name, 1)
		tr.proven(c.name)
	}
	tr.sound(tr.d)
}
