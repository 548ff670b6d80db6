package bucket

import (
	"crypto/md5"
	"encoding/hex"
	"encoding/xml"
	"fmt"
	"hash/crc64"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/minio/crc64nvme"
)

// naive is a small S3 server that proves nothing, and can be worse. It keeps
// objects in memory and checks no signature.
type naive struct {
	conditions         bool // honours If-Match and If-None-Match
	breaksOnConditions bool // 501 where it sees one
	breaksOnChecksums  bool // 400 where it sees one
	checksParts        bool // refuses a part with a wrong CRC64NVME, and nothing else
	ownCRC             bool // answers with its own x-cos-hash-crc64ecma
	keeps              bool // refuses DeleteObject

	mu      sync.Mutex
	objects map[string]naiveObject    // guarded by mu
	uploads map[string]map[int][]byte // guarded by mu
	meta    map[string]http.Header    // of uploads; guarded by mu
	keyOf   map[string]string         // of uploads; guarded by mu
}

type naiveObject struct {
	body []byte
	meta http.Header
	etag string
	at   time.Time
}

func (s *naive) start(t testing.TB) string {
	s.objects, s.uploads = map[string]naiveObject{}, map[string]map[int][]byte{}
	s.meta, s.keyOf = map[string]http.Header{}, map[string]string{}
	srv := httptest.NewServer(s)
	t.Cleanup(srv.Close)
	return srv.URL
}

func (s *naive) keys() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Sorted(maps.Keys(s.objects))
}

func (s *naive) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	_, key, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	if s.refuse(w, r, key, body) {
		return
	}
	q := r.URL.Query()
	switch id := q.Get("uploadId"); {
	case key == "" && q.Has("uploads"):
		s.listUploads(w)
	case key == "":
	case r.Method == http.MethodPost && q.Has("uploads"):
		id = "u" + strconv.Itoa(len(s.keyOf))
		s.uploads[id], s.meta[id], s.keyOf[id] = map[int][]byte{}, metaOf(r), key
		_, _ = fmt.Fprintf(w, "<InitiateMultipartUploadResult><UploadId>%s</UploadId></InitiateMultipartUploadResult>", id)
	case id != "":
		s.upload(w, r, key, id, body)
	case r.Method == http.MethodPut:
		s.objects[key] = naiveObject{body, metaOf(r), etagOf(body), time.Now()}
		w.Header().Set("ETag", etagOf(body))
		s.own(w, body)
	case r.Method == http.MethodDelete:
		delete(s.objects, key)
		w.WriteHeader(http.StatusNoContent)
	default:
		s.get(w, r, key)
	}
}

// refuse answers what this store does not take.
func (s *naive) refuse(w http.ResponseWriter, r *http.Request, key string, body []byte) bool {
	h := r.Header
	there, ok := s.objects[key]
	conditional := h.Get("If-Match") != "" || h.Get("If-None-Match") != ""
	sum := h.Get("X-Amz-Checksum-Crc64nvme")
	switch {
	case s.breaksOnConditions && conditional:
		say(w, 501, "NotImplemented", "A header you provided implies functionality that is not implemented")
	case s.breaksOnChecksums && (sum != "" || h.Get("X-Amz-Checksum-Algorithm") != ""):
		say(w, 400, "InvalidArgument", "unknown header")
	case s.conditions && r.Method != http.MethodGet && (h.Get("If-None-Match") == "*" && ok || h.Get("If-Match") != "" && h.Get("If-Match") != there.etag):
		say(w, 412, "PreconditionFailed", "")
	case s.checksParts && isPart(r) && sum != "" && sum != *encodeCRC(crc64nvme.Checksum(body)):
		say(w, 400, "BadDigest", "")
	case s.keeps && r.Method == http.MethodDelete && !r.URL.Query().Has("uploadId"):
		say(w, 403, "AccessDenied", "Access Denied")
	default:
		return false
	}
	return true
}

func (s *naive) upload(w http.ResponseWriter, r *http.Request, key, id string, body []byte) {
	parts, ok := s.uploads[id]
	if !ok {
		say(w, 404, "NoSuchUpload", "")
		return
	}
	switch r.Method {
	case http.MethodPut:
		n, _ := strconv.Atoi(r.URL.Query().Get("partNumber"))
		parts[n] = body
		w.Header().Set("ETag", etagOf(body))
		s.own(w, body)
	case http.MethodDelete:
		delete(s.uploads, id)
		w.WriteHeader(http.StatusNoContent)
	case http.MethodGet:
		_, _ = io.WriteString(w, "<ListPartsResult></ListPartsResult>")
	case http.MethodPost:
		var in struct {
			Part []struct{ PartNumber int }
		}
		if err := xml.Unmarshal(body, &in); err != nil {
			say(w, 400, "MalformedXML", "")
			return
		}
		var whole []byte
		for _, p := range in.Part {
			whole = append(whole, parts[p.PartNumber]...)
		}
		etag := strings.TrimSuffix(etagOf(whole), `"`) + "-" + strconv.Itoa(len(in.Part)) + `"`
		s.objects[key] = naiveObject{whole, s.meta[id], etag, time.Now()}
		delete(s.uploads, id)
		_, _ = fmt.Fprintf(w, "<CompleteMultipartUploadResult><ETag>%s</ETag></CompleteMultipartUploadResult>", etag)
	}
}

func (s *naive) get(w http.ResponseWriter, r *http.Request, key string) {
	o, ok := s.objects[key]
	if !ok {
		say(w, 404, "NoSuchKey", "")
		return
	}
	maps.Copy(w.Header(), o.meta)
	w.Header().Set("ETag", o.etag)
	w.Header().Set("Last-Modified", o.at.UTC().Format(http.TimeFormat))
	w.Header().Set("Content-Length", strconv.Itoa(len(o.body)))
	s.own(w, o.body)
	_, _ = w.Write(o.body)
}

// listUploads names all of them on one page.
func (s *naive) listUploads(w http.ResponseWriter) {
	_, _ = io.WriteString(w, "<ListMultipartUploadsResult>")
	for id := range s.uploads {
		_, _ = fmt.Fprintf(w, "<Upload><Key>%s</Key><UploadId>%s</UploadId></Upload>", s.keyOf[id], id)
	}
	_, _ = io.WriteString(w, "</ListMultipartUploadsResult>")
}

func (s *naive) own(w http.ResponseWriter, body []byte) {
	if s.ownCRC {
		w.Header().Set("x-cos-hash-crc64ecma", strconv.FormatUint(crc64.Checksum(body, crc64.MakeTable(crc64.ECMA)), 10))
	}
}

func metaOf(r *http.Request) http.Header {
	out := http.Header{}
	for k, v := range r.Header {
		if strings.HasPrefix(k, "X-Amz-Meta-") || k == "Content-Type" {
			out[k] = v
		}
	}
	return out
}

func etagOf(body []byte) string {
	sum := md5.Sum(body)
	return `"` + hex.EncodeToString(sum[:]) + `"`
}
