package vendorsim

import (
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base64"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"
)

const (
	signApp = "10045960"
	signKey = "AKIDaBxnhYnyRGD3oUspR7rW1V5Z0Oh06vZG" // the id, not the secret
)

// link signs a file's path, as getRecords does at each call. The caller holds
// s.mu.
func (s *Server) link(f *file, now time.Time) string {
	ttl := s.opts.LinkTTL
	if f.owner.LinkTTL != 0 {
		ttl = f.owner.LinkTTL
	}
	s.serial++
	text := fmt.Sprintf("a=%s&b=e%d&k=%s&e=%d&t=%d&r=%d&f=", signApp, f.owner.EntID, signKey, now.Add(ttl).Unix(), now.Unix(), 1496460068+s.serial)
	return s.DownloadURL() + (&url.URL{Path: f.path}).EscapedPath() + "?" + s.sign(f.path, text)
}

// sign returns the query of a link. Like the document's samples it is written
// in different ways: as base64 is, with + escaped, or with / and = escaped as
// well; which one follows from the text, so that the store knows what it
// issued and compares byte for byte.
func (s *Server) sign(path, text string) string {
	mac := hmac.New(sha1.New, []byte("sandbox of "+signKey))
	_, _ = mac.Write([]byte(path + "\n" + text)) // never fails
	b := base64.StdEncoding.EncodeToString(append(mac.Sum(nil), text...))
	switch serial(text) % 3 {
	case 0:
		b = strings.ReplaceAll(b, "+", "%2B")
	case 1:
		b = url.QueryEscape(b)
	}
	return "sign=" + b
}

// serial is the number that makes a link's text unlike every other one's.
func serial(text string) int64 {
	n, err := strconv.ParseInt(signField(text, "r"), 10, 64)
	if err != nil {
		return 2
	}
	return n
}

func signField(text, name string) string {
	for pair := range strings.SplitSeq(text, "&") {
		if k, v, _ := strings.Cut(pair, "="); k == name {
			return v
		}
	}
	return ""
}

// checkSign reports why a download's query is refused: a COS error code and
// text, or two empty strings.
func (s *Server) checkSign(path, rawQuery string, now time.Time) (code, text string) {
	value, ok := strings.CutPrefix(rawQuery, "sign=")
	plain, err := url.PathUnescape(value) // unlike QueryUnescape it leaves + alone
	if !ok || err != nil {
		return "AccessDenied", "Access Denied."
	}
	b, err := base64.StdEncoding.DecodeString(plain)
	if err != nil || len(b) <= sha1.Size {
		return "InvalidURI", "The signature can't be read."
	}
	signed := string(b[sha1.Size:])
	if !hmac.Equal([]byte(s.sign(path, signed)), []byte(rawQuery)) {
		return "SignatureDoesNotMatch", "The Signature you specified is invalid."
	}
	exp, err := strconv.ParseInt(signField(signed, "e"), 10, 64)
	if err != nil || now.Unix() >= exp {
		return "AccessDenied", "Request has expired"
	}
	return "", ""
}
