package sync

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"strings"
	"testing"
)

// box is a box of n bytes behind its header.
func box(kind string, n int) []byte {
	b := binary.BigEndian.AppendUint32(nil, uint32(8+n))
	return append(append(b, kind...), make([]byte, n)...)
}

// large is the same with a 64 bit size.
func large(kind string, n int) []byte {
	b := append([]byte{0, 0, 0, 1}, kind...)
	b = binary.BigEndian.AppendUint64(b, uint64(16+n))
	return append(b, make([]byte, n)...)
}

// raw is a box header that says anything.
func raw(size uint32, kind string) []byte {
	return append(binary.BigEndian.AppendUint32(nil, size), kind...)
}

func join(b ...[]byte) []byte { return bytes.Join(b, nil) }

var mediaCases = []struct {
	name    string
	file    string
	data    []byte
	suspect string // part of it; "" is fine
	doc     string
}{
	{"faststart", "a.mp4", join(box("ftyp", 8), box("moov", 20), box("mdat", 99)), "", ""},
	{"moov last", "a.MP4", join(box("ftyp", 8), box("mdat", 99), box("moov", 20)), "", ""},
	{"large sizes", "a.mov", join(large("ftyp", 8), large("moov", 20), large("mdat", 0)), "", ""},
	{"mdat to the end", "a.m4a", join(box("moov", 0), raw(0, "mdat"), make([]byte, 77)), "", ""},
	{"moov to the end", "a.mp4", join(box("ftyp", 8), raw(0, "moov")), "", ""},
	{"no moov", "a.mp4", join(box("ftyp", 8), box("mdat", 99)), "no moov", ""},
	{"moov within", "a.mp4", join(box("ftyp", 8), box("mdat", 0), box("free", 8)), "no moov", ""},
	{"cut in a box", "a.mp4", join(box("moov", 8), box("mdat", 99))[:60], "lacks", ""},
	{"cut in a header", "a.mp4", join(box("moov", 8), raw(99, "mdat")[:5]), "within a box header", ""},
	{"cut in a large header", "a.mp4", join(box("moov", 8), large("mdat", 99)[:12]), "within a box header", ""},
	{"too small", "a.mp4", join(box("moov", 8), raw(7, "mdat")), "impossible size 7", ""},
	{"too small a large one", "a.mp4", join(box("moov", 0), []byte{0, 0, 0, 1, 'm', 'd', 'a', 't', 0, 0, 0, 0, 0, 0, 0, 15}), "impossible size 15", ""},
	{"negative", "a.mp4", join([]byte{0, 0, 0, 1, 'm', 'd', 'a', 't', 255, 255, 255, 255, 255, 255, 255, 255}), "impossible size -1", ""},
	{"too much behind", "a.mp4", join(box("moov", 8), []byte("x")), "within a box header", ""},
	{"empty", "a.mp4", nil, "no moov", ""},
	{"no MP4 by name", "a.mkv", []byte("\x1a\x45\xdf\xa3"), "", ""},
	{"no media by name", "a.html", []byte("<!DOCTYPE html>"), "", ""},
	{"json by name", "chat.json", []byte(`{"messages":[]}`), "", ""},
	{"no extension", "recording", []byte("<html>"), "", ""},
	{"html", "a.mp3", []byte("<!DocType html><p>"), "", "HTML"},
	{"html behind blanks", "a.ts", []byte("\xef\xbb\xbf \r\n\t<HTML>"), "", "HTML"},
	{"head", "a.mkv", []byte("<head><title>"), "", "HTML"},
	{"body", "a.mkv", []byte("<body>"), "", "HTML"},
	{"xml", "a.flv", []byte("<?xml version='1.0'?>"), "", "XML"},
	{"error", "a.wav", []byte("<Error><Code>AccessDenied"), "", "XML"},
	{"object", "a.webm", []byte(`{"code":"403"}`), "", "JSON"},
	{"array", "a.avi", []byte(` ["no"]`), "", "JSON"},
	{"mpeg-ts", "a.ts", []byte{0x47, 0x40, 0, 0x10}, "", ""},
}

func TestMedia(t *testing.T) {
	for _, c := range mediaCases {
		t.Run(c.name, func(t *testing.T) {
			m := newMedia(c.file)
			m.write(c.data)
			if got := m.suspect(); c.suspect == "" && got != "" || !strings.Contains(got, c.suspect) {
				t.Errorf("suspect: %q, want %q", got, c.suspect)
			}
			if got := m.errorDocument(); c.doc == "" && got != "" || !strings.Contains(got, c.doc) {
				t.Errorf("document: %q, want %q", got, c.doc)
			}
		})
	}
}

// FuzzMedia: how the bytes come, in which pieces and with how many restarts in
// between, must not change the verdict, nor how much is remembered.
func FuzzMedia(f *testing.F) {
	for _, c := range mediaCases {
		for _, step := range []uint16{1, 3, 7, 16} {
			f.Add(c.file, c.data, step)
		}
	}
	f.Fuzz(func(t *testing.T, name string, data []byte, step uint16) {
		whole := newMedia(name)
		whole.write(data)
		pieces := newMedia(name)
		for rest := data; len(rest) > 0; {
			n := min(int(step%97)+1, len(rest))
			pieces.write(rest[:n])
			rest = rest[n:]
			b, err := json.Marshal(pieces)
			if err != nil {
				t.Fatal(err)
			}
			pieces = media{}
			if err := json.Unmarshal(b, &pieces); err != nil {
				t.Fatal(err)
			}
			if len(pieces.Head) > headBytes || len(pieces.Box) > 16 {
				t.Fatalf("%d bytes of head, %d of box", len(pieces.Head), len(pieces.Box))
			}
		}
		if whole.suspect() != pieces.suspect() || whole.errorDocument() != pieces.errorDocument() {
			t.Errorf("in one: %q, %q; in pieces: %q, %q", whole.suspect(), whole.errorDocument(), pieces.suspect(), pieces.errorDocument())
		}
	})
}
