package s3stub

import (
	"encoding/xml"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"archiver/internal/sandbox/crc64sum"
)

type part struct {
	size     int64
	sum      uint64
	etag     string
	modified time.Time
}

type upload struct {
	id, bucket, key string
	initiated       time.Time
	header          http.Header
	parts           map[int]part
}

func (s *Server) createUpload(o *op) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.serial++
	u := &upload{
		id: fmt.Sprintf("upload-%06d", s.serial), bucket: o.bucket, key: o.key, initiated: s.opts.Clock(),
		header: objectHeader(o.r.Header), parts: map[int]part{},
	}
	s.uploads[u.id] = u
	for _, name := range []string{"X-Amz-Checksum-Algorithm", "X-Amz-Checksum-Type"} {
		if v := o.r.Header.Get(name); v != "" {
			o.w.Header().Set(name, v)
		}
	}
	o.xml(http.StatusOK, struct {
		XMLName  struct{} `xml:"InitiateMultipartUploadResult"`
		Bucket   string
		Key      string
		UploadID string `xml:"UploadId"`
	}{Bucket: o.bucket, Key: o.key, UploadID: u.id})
	return nil
}

// uploadOf finds a request's upload. The caller holds s.mu.
func (s *Server) uploadOf(o *op) (*upload, error) {
	u, ok := s.uploads[o.query("uploadId")]
	if !ok || u.bucket != o.bucket || u.key != o.key {
		return nil, refuse(http.StatusNotFound, "NoSuchUpload", "The specified multipart upload does not exist.")
	}
	return u, nil
}

func (s *Server) uploadPart(o *op) error {
	n, err := strconv.Atoi(o.query("partNumber"))
	if err != nil || n < 1 || n > 10_000 {
		return refuse(http.StatusBadRequest, "InvalidArgument", "Part number must be an integer between 1 and 10000, inclusive")
	}
	b, err := s.read(o, false)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	u, err := s.uploadOf(o)
	if err != nil {
		return err
	}
	p := part{size: b.size, sum: b.sum, etag: etag(b.sum, b.size, ""), modified: s.opts.Clock()}
	u.parts[n] = p
	o.w.Header().Set("ETag", p.etag)
	o.w.Header().Set(sumHeader, encodeSum(p.sum))
	o.w.WriteHeader(http.StatusOK)
	return nil
}

// completed is the body of CompleteMultipartUpload.
type completed struct {
	Part []struct {
		PartNumber        int
		ETag              string
		ChecksumCRC64NVME string
	}
}

func (s *Server) completeUpload(o *op) error {
	var list completed
	if err := xml.NewDecoder(io.LimitReader(o.r.Body, 4<<20)).Decode(&list); err != nil || len(list.Part) == 0 {
		return refuse(http.StatusBadRequest, "MalformedXML", "The XML you provided was not well-formed")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	u, err := s.uploadOf(o)
	if err != nil {
		return err
	}
	size, sum, err := s.join(u, list)
	if err != nil {
		return err
	}
	if want := o.r.Header.Get(sumHeader); want != "" && want != encodeSum(sum) {
		return refuse(http.StatusBadRequest, "BadDigest", "The CRC64NVME you specified did not match the calculated checksum.")
	}
	if want := o.r.Header.Get("X-Amz-Mp-Object-Size"); want != "" && want != strconv.FormatInt(size, 10) {
		return refuse(http.StatusBadRequest, "InvalidRequest", "The provided 'x-amz-mp-object-size' header does not match what was computed")
	}
	if err := s.conditions(o); err != nil {
		return err
	}
	obj := &object{size: size, sum: sum, etag: etag(sum, size, fmt.Sprintf("-%d", len(list.Part))), modified: s.opts.Clock(), header: u.header}
	s.objects[o.bucket+"/"+o.key] = obj
	delete(s.uploads, u.id)
	o.xml(http.StatusOK, struct {
		XMLName           struct{} `xml:"CompleteMultipartUploadResult"`
		Bucket            string
		Key               string
		ETag              string
		ChecksumCRC64NVME string
		ChecksumType      string
	}{Bucket: o.bucket, Key: o.key, ETag: obj.etag, ChecksumCRC64NVME: encodeSum(sum), ChecksumType: "FULL_OBJECT"})
	return nil
}

// join checks the list of parts and returns the whole object's size and sum.
func (s *Server) join(u *upload, list completed) (size int64, sum uint64, err error) {
	for i, want := range list.Part {
		p, ok := u.parts[want.PartNumber]
		switch {
		case i > 0 && want.PartNumber <= list.Part[i-1].PartNumber:
			return 0, 0, refuse(http.StatusBadRequest, "InvalidPartOrder", "The list of parts was not in ascending order.")
		case !ok, strings.Trim(want.ETag, `"`) != strings.Trim(p.etag, `"`), want.ChecksumCRC64NVME != "" && want.ChecksumCRC64NVME != encodeSum(p.sum):
			return 0, 0, refuse(http.StatusBadRequest, "InvalidPart", fmt.Sprintf("Part %d was not found, or its ETag or checksum differs", want.PartNumber))
		case i < len(list.Part)-1 && p.size < s.opts.MinPart:
			return 0, 0, refuse(http.StatusBadRequest, "EntityTooSmall", "Your proposed upload is smaller than the minimum allowed object size.")
		}
		sum = crc64sum.Combine(crc64sum.NVME, sum, p.sum, p.size)
		size += p.size
	}
	return size, sum, nil
}

func (s *Server) abortUpload(o *op) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	u, err := s.uploadOf(o)
	if err != nil {
		return err
	}
	delete(s.uploads, u.id)
	o.w.WriteHeader(http.StatusNoContent)
	return nil
}

func (s *Server) listParts(o *op) error {
	type listedPart struct {
		PartNumber        int
		LastModified      string
		ETag              string
		Size              int64
		ChecksumCRC64NVME string
	}
	type result struct {
		XMLName              struct{} `xml:"ListPartsResult"`
		Bucket               string
		Key                  string
		UploadID             string `xml:"UploadId"`
		PartNumberMarker     int
		NextPartNumberMarker int
		MaxParts             int
		IsTruncated          bool
		Part                 []listedPart
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	u, err := s.uploadOf(o)
	if err != nil {
		return err
	}
	res := result{Bucket: o.bucket, Key: o.key, UploadID: u.id, MaxParts: limit(o.query("max-parts"))}
	if m, err := strconv.Atoi(o.query("part-number-marker")); err == nil {
		res.PartNumberMarker = m
	}
	for _, n := range slices.Sorted(maps.Keys(u.parts)) {
		if n <= res.PartNumberMarker {
			continue
		}
		if len(res.Part) == res.MaxParts {
			res.IsTruncated = true
			break
		}
		p := u.parts[n]
		res.Part = append(res.Part, listedPart{n, p.modified.UTC().Format(time.RFC3339), p.etag, p.size, encodeSum(p.sum)})
		res.NextPartNumberMarker = n
	}
	o.xml(http.StatusOK, res)
	return nil
}

// listUploads answers with all of them: the stub never has more than a page.
func (s *Server) listUploads(o *op) error {
	type listedUpload struct {
		Key       string
		UploadID  string `xml:"UploadId"`
		Initiated string
	}
	type result struct {
		XMLName     struct{} `xml:"ListMultipartUploadsResult"`
		Bucket      string
		Prefix      string
		IsTruncated bool
		Upload      []listedUpload
	}
	res := result{Bucket: o.bucket, Prefix: o.query("prefix")}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, id := range slices.Sorted(maps.Keys(s.uploads)) {
		if u := s.uploads[id]; u.bucket == o.bucket && strings.HasPrefix(u.key, res.Prefix) {
			res.Upload = append(res.Upload, listedUpload{u.key, u.id, u.initiated.UTC().Format(time.RFC3339)})
		}
	}
	slices.SortStableFunc(res.Upload, func(a, b listedUpload) int { return strings.Compare(a.Key, b.Key) })
	o.xml(http.StatusOK, res)
	return nil
}
