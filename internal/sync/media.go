package sync

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"path"
	"strings"
)

// media watches the bytes of a file go by and judges two things: whether they
// are an error document where the name promises media, and whether the
// top-level boxes of an MP4 (ISO/IEC 14496-12 section 4.2) add up to the file
// and include moov, without which nothing plays. It holds no more than the
// first bytes and one box header. The fields are exported for the saved state.
type media struct {
	IsMedia bool   `json:"is_media,omitempty"` // the name says audio or video
	IsMP4   bool   `json:"is_mp4,omitempty"`   // the name says ISO base media
	Head    []byte `json:"head,omitempty"`     // the first bytes of the file
	Box     []byte `json:"box,omitempty"`      // the incomplete header of the next box
	Skip    int64  `json:"skip,omitempty"`     // bytes left of the present box
	ToEnd   bool   `json:"to_end,omitempty"`   // the present box reaches to the end of the file
	Moov    bool   `json:"moov,omitempty"`
	Broken  string `json:"broken,omitempty"` // what is wrong with the boxes
}

// headBytes is how much of the start is kept for judging and as evidence.
const headBytes = 256

func newMedia(filename string) media {
	switch strings.TrimPrefix(path.Ext(strings.ToLower(filename)), ".") {
	case "mp4", "m4v", "m4a", "mov", "3gp":
		return media{IsMedia: true, IsMP4: true}
	case "mp3", "aac", "wav", "flac", "ogg", "opus", "mkv", "webm", "avi", "flv", "ts", "wmv", "mpg", "mpeg":
		return media{IsMedia: true}
	}
	return media{}
}

func (m *media) write(p []byte) {
	if n := headBytes - len(m.Head); n > 0 {
		m.Head = append(m.Head, p[:min(n, len(p))]...)
	}
	if !m.IsMP4 || m.Broken != "" {
		return
	}
	for len(p) > 0 && !m.ToEnd && m.Broken == "" {
		if m.Skip > 0 {
			n := min(m.Skip, int64(len(p)))
			m.Skip -= n
			p = p[n:]
			continue
		}
		p = m.header(p)
	}
}

// header takes bytes of a box header and returns the rest.
func (m *media) header(p []byte) []byte {
	need := 8
	if len(m.Box) >= 8 && binary.BigEndian.Uint32(m.Box) == 1 {
		need = 16 // size 1: a 64 bit size follows the type
	}
	n := min(need-len(m.Box), len(p))
	m.Box = append(m.Box, p[:n]...)
	p = p[n:]
	if len(m.Box) < need || need == 8 && binary.BigEndian.Uint32(m.Box) == 1 {
		return p
	}
	size, kind := int64(binary.BigEndian.Uint32(m.Box)), string(m.Box[4:8])
	if need == 16 {
		size = int64(binary.BigEndian.Uint64(m.Box[8:]))
	}
	switch {
	case size == 0: // size 0: to the end of the file
		m.ToEnd = true
	case size < int64(need):
		m.Broken = fmt.Sprintf("box %q has the impossible size %d", kind, size)
	default:
		m.Skip = size - int64(need)
	}
	m.Moov = m.Moov || kind == "moov"
	m.Box = m.Box[:0]
	return p
}

// suspect says what is off about the structure of the whole file, "" if
// nothing is.
func (m *media) suspect() string {
	switch {
	case !m.IsMP4:
		return ""
	case m.Broken != "":
		return m.Broken
	case len(m.Box) > 0:
		return "the file ends within a box header"
	case m.Skip > 0:
		return fmt.Sprintf("the last box lacks %d bytes", m.Skip)
	case !m.Moov:
		return "there is no moov box"
	}
	return ""
}

// errorDocument says why the content is an error document instead of the
// media that the name promises, "" if it is not. It needs the first bytes
// only.
func (m *media) errorDocument() string {
	if !m.IsMedia {
		return ""
	}
	text := bytes.TrimLeft(bytes.TrimPrefix(m.Head, []byte("\xef\xbb\xbf")), " \t\r\n")
	low := bytes.ToLower(text)
	switch {
	case bytes.HasPrefix(low, []byte("<!doctype")), bytes.HasPrefix(low, []byte("<html")), bytes.HasPrefix(low, []byte("<head")), bytes.HasPrefix(low, []byte("<body")):
		return "it is an HTML page"
	case bytes.HasPrefix(low, []byte("<?xml")), bytes.HasPrefix(low, []byte("<error")):
		return "it is an XML document"
	case bytes.HasPrefix(text, []byte("{")), bytes.HasPrefix(text, []byte("[")):
		return "it is a JSON document"
	}
	return ""
}
