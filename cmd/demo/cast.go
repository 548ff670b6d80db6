package main

import (
	"encoding/binary"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"time"

	"archiver/internal/sandbox/content"
	"archiver/internal/sandbox/faultproxy"
	"archiver/internal/sandbox/samples"
	"archiver/internal/sandbox/vendorsim"
)

// The tenants. The sources of acme are deleted once they are archived, those
// of globex are kept.
const (
	acme   = "acme"
	globex = "globex"
)

// story is one recording that the vendor has from the beginning, and what
// happens to it.
type story struct {
	tenant, conference, id string
	about                  string   // for people
	samples                []string // names of its files' contents, in order; bigSample is one that is made
	also                   []string // recordings that its listing names as well
	untold                 bool     // the archiver isn't told of it
	faults                 func(w *world, s story)
}

// bigSample names a sample that takes five parts to upload.
const bigSample = "big"

const bigSize = 24 << 20 // bytes; not a multiple of the part size

// cast is who plays: one recording for each thing that may happen.
func cast() []story {
	return []story{
		{
			tenant: acme, conference: "1866", id: "02e57a1c4f0b4e6b9d0c5a6e1f2b3c4d", about: "one file, ready",
			samples: []string{samples.Testsrc},
		},
		{
			tenant: acme, conference: "1867", id: "5c0f3d9286e14b7fa1c3d5e7f9012345", about: "three files under one recordId",
			samples: []string{samples.Testsrc, samples.Mandelbrot, samples.Bars},
		},
		{
			tenant: acme, conference: "1868", id: "7d41b8e6a2c94f0d8b6e1a3c5f7d9b02", about: "its download will break off",
			samples: []string{samples.Testsrc}, faults: breaksOff,
		},
		{
			tenant: globex, conference: "7001", id: "91af06c3e5b74d28a0c2e4f6081a3c5e", about: "its link will expire in the middle",
			samples: []string{samples.Mandelbrot}, faults: linkExpires,
		},
		{
			tenant: globex, conference: "7002", id: "b3e8d7f5014c4a6e9f8b7d6c5e4a3f21", about: "first there will be a web page in its place, and no fileSize to tell",
			samples: []string{samples.Bars}, faults: isWebPage,
		},
		{
			tenant: globex, conference: "7003", id: "c6924a0e7b3d4158a9d0e2f4c6b8a013", about: "24 MiB, and the bucket will have a bad moment",
			samples: []string{bigSample}, faults: badMoment,
		},
		{
			tenant: globex, conference: "7004", id: "d81f55b2c09e4763b5a7f9e1d3c5b7a9", about: "no file of its own; its listing names another recording",
			also: []string{"e07c19a4d6f84b35a2e4c6f8b0d1e3f5"},
		},
		{
			tenant: globex, conference: "7004", id: "e07c19a4d6f84b35a2e4c6f8b0d1e3f5", about: "nobody tells the archiver of this one",
			samples: []string{samples.Bars}, untold: true,
		},
	}
}

// stage makes the recordings known to the vendor, two hours ago, with their
// faults.
func (w *world) stage(stories []story) error {
	begun := time.Now().Add(-2 * time.Hour).Truncate(time.Second)
	for i, s := range stories {
		r := vendorsim.Recording{ID: s.id, Tenant: s.tenant, ConferenceKey: s.conference, EntID: 52, Also: s.also}
		for j, name := range s.samples {
			c, err := sample(name)
			if err != nil {
				return err
			}
			start := begun.Add(time.Duration(i)*time.Minute + time.Duration(j)*10*time.Minute)
			r.Files = append(r.Files, vendorsim.File{Start: start, Stop: start.Add(9 * time.Minute), Content: c})
		}
		if err := w.vendor.AddRecording(r); err != nil {
			return err
		}
		if s.faults != nil {
			s.faults(w, s)
		}
	}
	return nil
}

// sample returns a sample's bytes.
func sample(name string) (content.Content, error) {
	if name == bigSample {
		b, err := samples.Read(samples.Testsrc)
		if err != nil {
			return nil, err
		}
		return padded(b, bigSize), nil
	}
	b, err := samples.Read(name)
	if err != nil {
		return nil, err
	}
	return content.Bytes(b), nil
}

// firstSize returns the size in bytes of the recording's first file.
func (w *world) firstSize(id string) int64 {
	t, ok := w.vendor.Recording(id)
	if !ok || len(t.Files) == 0 {
		return 0
	}
	return t.Files[0].Size
}

func breaksOff(w *world, s story) {
	w.vendor.Inject(vendorsim.Fault{Call: vendorsim.Download, Subject: s.id, Times: 1, Do: vendorsim.Truncate{At: w.firstSize(s.id) * 6 / 10}})
}

func linkExpires(w *world, s story) {
	w.vendor.Inject(vendorsim.Fault{Call: vendorsim.Download, Subject: s.id, Times: 1, Do: vendorsim.Truncate{At: w.firstSize(s.id) / 2}})
	w.vendor.Inject(vendorsim.Fault{Call: vendorsim.Download, Subject: s.id, After: 1, Times: 1, Do: vendorsim.Status{Code: http.StatusForbidden}})
}

func isWebPage(w *world, s story) {
	w.vendor.Inject(vendorsim.Fault{Call: "getRecords", Subject: s.id, Do: vendorsim.WithoutMembers("fileSize")})
	w.webPage(s.id, 1)
}

// webPage makes the first so many downloads of a recording (0: every one) a
// page for people.
func (w *world) webPage(id string, times int) {
	w.pages[id] = true
	w.vendor.Inject(vendorsim.Fault{Call: vendorsim.Download, Subject: id, Times: times, Do: vendorsim.HTML{}})
}

// badMoment makes the bucket refuse two parts, and lose its answer to the
// completion, which took effect.
func badMoment(w *world, s story) {
	of := regexp.MustCompile(regexp.QuoteMeta(s.id))
	w.proxy.Inject(faultproxy.Rule{
		Method: http.MethodPut, Query: []string{"partNumber"}, Path: of, After: 1, Times: 2,
		Do: faultproxy.Reply{Status: http.StatusServiceUnavailable, Code: "SlowDown", ReadBody: true},
	})
	w.proxy.Inject(faultproxy.Rule{Method: http.MethodPost, Query: []string{"uploadId"}, Path: of, Times: 1, Do: faultproxy.DropReply{}})
	w.bucketFaults = 3
}

// padded returns a recording that still plays and has size bytes: an MP4 with
// a box of type free behind it (ISO/IEC 14496-12 section 8.1.2), which players
// skip.
func padded(mp4 []byte, size int64) content.Content {
	head := binary.BigEndian.AppendUint32(slices.Clone(mp4), uint32(size-int64(len(mp4))))
	head = append(head, "free"...)
	return &joined{head: head, rest: content.Generate(uint64(size), size-int64(len(head)))}
}

type joined struct {
	head []byte
	rest content.Content
}

// Size implements content.Content.
func (j *joined) Size() int64 { return int64(len(j.head)) + j.rest.Size() }

// ReadAt implements io.ReaderAt.
func (j *joined) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, fmt.Errorf("read at %d: negative offset", off)
	}
	n := 0
	if off < int64(len(j.head)) {
		n = copy(p, j.head[off:])
	}
	if n == len(p) {
		return n, nil
	}
	m, err := j.rest.ReadAt(p[n:], off+int64(n)-int64(len(j.head)))
	return n + m, err
}
