package s3stub

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/minio/crc64nvme"

	"archiver/internal/sandbox/awschunk"
	"archiver/internal/sandbox/pace"
)

const sumHeader = "X-Amz-Checksum-Crc64nvme"

// object is what is known of an object; its bytes only where it is small.
type object struct {
	size     int64
	sum      uint64
	etag     string
	modified time.Time
	header   http.Header // Content-Type, X-Amz-Meta-… and the like, as they came
	kept     []byte      // nil: not kept
}

func encodeSum(sum uint64) string {
	return base64.StdEncoding.EncodeToString(binary.BigEndian.AppendUint64(nil, sum))
}

// etag is no MD5, as under SSE-KMS, nor does it look like one: nobody may take
// it for one.
func etag(sum uint64, size int64, suffix string) string {
	return fmt.Sprintf(`"%016x-%x%s"`, sum, size, suffix)
}

// body is a request's body as it was read.
type body struct {
	size int64
	sum  uint64
	kept []byte // nil if it is larger than Options.Keep or keep is false
}

// read takes in a body and checks the checksum that came with it, before or
// behind it.
func (s *Server) read(o *op, keep bool) (body, error) {
	var b body
	src := pace.Reader(o.r.Context(), o.r.Body, s.opts.Rate)
	trailer := http.Header{}
	if awschunk.Framed(o.r.Header) {
		framed := awschunk.NewReader(src)
		src, trailer = framed, framed.Trailer
	}
	bp, ok := s.buffers.Get().(*[]byte)
	if !ok {
		return b, io.ErrShortBuffer
	}
	defer s.buffers.Put(bp)
	keep = keep && o.r.ContentLength <= s.opts.Keep
	small := &bytes.Buffer{}
	for {
		n, err := src.Read(*bp)
		b.sum = crc64nvme.Update(b.sum, (*bp)[:n])
		if b.size += int64(n); keep && b.size <= s.opts.Keep {
			small.Write((*bp)[:n])
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return b, err
		}
	}
	s.mu.Lock()
	s.stats.Bytes += b.size
	s.mu.Unlock()
	if keep && b.size <= s.opts.Keep {
		b.kept = append([]byte{}, small.Bytes()...)
	}
	for _, h := range []http.Header{o.r.Header, trailer} {
		if want := h.Get(sumHeader); want != "" && want != encodeSum(b.sum) {
			return b, refuse(http.StatusBadRequest, "BadDigest", "The CRC64NVME you specified did not match the calculated checksum.")
		}
	}
	return b, nil
}

// objectHeader keeps those headers of a request that come back with the
// object.
func objectHeader(h http.Header) http.Header {
	kept := http.Header{}
	for name, v := range h {
		switch {
		case strings.HasPrefix(name, "X-Amz-Meta-"), name == "Content-Type", name == "Cache-Control", name == "Content-Disposition",
			name == "X-Amz-Storage-Class", name == "X-Amz-Server-Side-Encryption":
			kept[name] = slices.Clone(v)
		}
	}
	return kept
}

// conditions holds a write to If-None-Match and If-Match. The caller holds
// s.mu.
func (s *Server) conditions(o *op) error {
	old, there := s.objects[o.bucket+"/"+o.key]
	failed := refuse(http.StatusPreconditionFailed, "PreconditionFailed", "At least one of the pre-conditions you specified did not hold")
	if o.r.Header.Get("If-None-Match") == "*" && there {
		return failed
	}
	switch im := o.r.Header.Get("If-Match"); {
	case im == "":
	case !there:
		return noSuchKey()
	case im != "*" && strings.Trim(im, `"`) != strings.Trim(old.etag, `"`):
		return failed
	}
	return nil
}

func noSuchKey() error {
	return refuse(http.StatusNotFound, "NoSuchKey", "The specified key does not exist.")
}

func (s *Server) putObject(o *op) error {
	b, err := s.read(o, true)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.conditions(o); err != nil {
		return err
	}
	obj := &object{size: b.size, sum: b.sum, etag: etag(b.sum, b.size, ""), modified: s.opts.Clock(), header: objectHeader(o.r.Header), kept: b.kept}
	s.objects[o.bucket+"/"+o.key] = obj
	o.w.Header().Set("ETag", obj.etag)
	o.w.Header().Set(sumHeader, encodeSum(obj.sum))
	o.w.Header().Set("X-Amz-Checksum-Type", "FULL_OBJECT")
	o.w.WriteHeader(http.StatusOK)
	return nil
}

// find returns an object and sets its headers on the answer.
func (s *Server) find(o *op) (*object, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	obj, ok := s.objects[o.bucket+"/"+o.key]
	if !ok {
		return nil, noSuchKey()
	}
	if im := o.r.Header.Get("If-Match"); im != "" && im != "*" && strings.Trim(im, `"`) != strings.Trim(obj.etag, `"`) {
		return nil, refuse(http.StatusPreconditionFailed, "PreconditionFailed", "At least one of the pre-conditions you specified did not hold")
	}
	h := o.w.Header()
	maps.Copy(h, obj.header)
	h.Set("ETag", obj.etag)
	h.Set("Last-Modified", obj.modified.UTC().Format(http.TimeFormat))
	h.Set("Accept-Ranges", "bytes")
	if o.r.Header.Get("X-Amz-Checksum-Mode") == "ENABLED" {
		h.Set(sumHeader, encodeSum(obj.sum))
		h.Set("X-Amz-Checksum-Type", "FULL_OBJECT")
	}
	return obj, nil
}

func (s *Server) headObject(o *op) error {
	obj, err := s.find(o)
	if err != nil {
		return err
	}
	o.w.Header().Set("Content-Length", strconv.FormatInt(obj.size, 10))
	o.w.WriteHeader(http.StatusOK)
	return nil
}

func (s *Server) getObject(o *op) error {
	obj, err := s.find(o)
	if err != nil {
		return err
	}
	if obj.kept == nil {
		return refuse(http.StatusNotImplemented, "NotImplemented", fmt.Sprintf("The stub keeps no objects of more than %d bytes", s.opts.Keep))
	}
	http.ServeContent(o.w, o.r, o.key, obj.modified, bytes.NewReader(obj.kept))
	return nil
}

func (s *Server) deleteObject(o *op) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.objects, o.bucket+"/"+o.key)
	o.w.WriteHeader(http.StatusNoContent)
	return nil
}

type listedObject struct {
	Key          string
	LastModified string
	ETag         string
	Size         int64
	StorageClass string
}

// listObjects answers in order of keys; the continuation token is the last key.
func (s *Server) listObjects(o *op) error {
	type result struct {
		XMLName               struct{} `xml:"ListBucketResult"`
		Name                  string
		Prefix                string
		KeyCount              int
		MaxKeys               int
		IsTruncated           bool
		NextContinuationToken string `xml:",omitempty"`
		Contents              []listedObject
	}
	res := result{Name: o.bucket, Prefix: o.query("prefix"), MaxKeys: limit(o.query("max-keys"))}
	after := max(o.query("start-after"), o.query("continuation-token"))
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, full := range slices.Sorted(maps.Keys(s.objects)) {
		key, mine := strings.CutPrefix(full, o.bucket+"/")
		if !mine || !strings.HasPrefix(key, res.Prefix) || key <= after {
			continue
		}
		if len(res.Contents) == res.MaxKeys {
			res.IsTruncated = true
			if n := len(res.Contents); n > 0 {
				res.NextContinuationToken = res.Contents[n-1].Key
			}
			break
		}
		obj := s.objects[full]
		res.Contents = append(res.Contents, listedObject{key, obj.modified.UTC().Format(time.RFC3339), obj.etag, obj.size, "STANDARD"})
	}
	res.KeyCount = len(res.Contents)
	o.xml(http.StatusOK, res)
	return nil
}

// limit reads a page's size; S3's default and maximum are 1,000.
func limit(s string) int {
	n, err := strconv.Atoi(s)
	if err != nil || n < 0 {
		return 1000
	}
	return min(n, 1000)
}
