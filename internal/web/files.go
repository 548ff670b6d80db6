package web

import (
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"path"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"archiver/internal/apitype"
	"archiver/internal/state"
)

// The embedded types are exported, or huma would not fill them.
type verifyInput struct {
	RecordingPath
	Deep bool `query:"deep" doc:"Read the bytes back and compare their SHA-256"`
}

// FilePath names one file.
type FilePath struct {
	RecordingPath
	FileID string `path:"file_id"`
}

type linkInput struct {
	FilePath
	TTL string `query:"ttl" default:"1h" doc:"How long it lasts: 1s to 168h"`
}

const maxTTL = 7 * 24 * time.Hour // Amazon S3 User Guide, "Expiration of presigned URLs"

func (a *API) files(h huma.API) {
	one := prefix + "/recordings/{tenant}/{record_id}"
	register(h, operation("POST", one+"/verify", "verify-recording", "Ask the bucket for every archived object and compare", 404, 422),
		func(ctx context.Context, in *verifyInput) (*body[apitype.Verification], error) {
			k, err := in.key()
			if err != nil {
				return nil, err
			}
			v, err := a.o.Objects.Verify(ctx, k, in.Deep)
			return &body[apitype.Verification]{Body: v}, notTracked(k, err)
		})
	register(h, operation("GET", one+"/files/{file_id}/link", "link-file", "A presigned URL of the object: whoever has it may read it", 404, 409, 422),
		func(ctx context.Context, in *linkInput) (*body[apitype.Link], error) {
			k, err := in.key()
			if err != nil {
				return nil, err
			}
			ttl, err := time.ParseDuration(in.TTL)
			if err != nil || ttl < time.Second || ttl > maxTTL {
				return nil, problem(http.StatusUnprocessableEntity, "invalid", fmt.Sprintf("ttl %q is no duration from 1s to 168h", in.TTL))
			}
			f, err := a.archived(ctx, k, in.FileID)
			if err != nil {
				return nil, err
			}
			l, err := a.o.Objects.Link(ctx, state.FileRef{Key: k, FileID: f.ID}, ttl)
			return &body[apitype.Link]{Body: l}, notTracked(k, err)
		})
	for _, method := range []string{"GET", "HEAD"} {
		op := operation(method, one+"/files/{file_id}/content", "content-file", "The object's bytes, with Range", 404, 409, 416, 422)
		op.Responses = binary("The bytes; 206 for a range")
		if method == "HEAD" {
			op.OperationID, op.Summary = "head-content-file", "The headers of the object's bytes"
		}
		register(h, op, a.content)
	}
}

// archived returns a file whose object is proven.
func (a *API) archived(ctx context.Context, k state.Key, id string) (state.File, error) {
	r, err := a.o.Store.Get(ctx, k)
	if err != nil {
		return state.File{}, notTracked(k, err)
	}
	f, ok := r.File(id)
	if !ok || f.Phase != state.Verified {
		return state.File{}, problem(http.StatusNotFound, "no_such_file", fmt.Sprintf("recording %s has no archived file %q; archiver show %s lists them", k, id, k.RecordID))
	}
	return f, nil
}

func (a *API) content(ctx context.Context, in *FilePath) (*huma.StreamResponse, error) {
	k, err := in.key()
	if err != nil {
		return nil, err
	}
	f, err := a.archived(ctx, k, in.FileID)
	if err != nil {
		return nil, err
	}
	return &huma.StreamResponse{Body: func(hc huma.Context) {
		r, w := humago.Unwrap(hc)
		a.send(w, r, state.FileRef{Key: k, FileID: f.ID}, f)
	}}, nil
}

// send writes an object's bytes, or a range of them. What fails once bytes
// have gone out breaks the connection.
func (a *API) send(w http.ResponseWriter, r *http.Request, ref state.FileRef, f state.File) {
	h := w.Header()
	h.Set("Accept-Ranges", "bytes")
	tag := `"` + f.Sums.SHA256 + `"`
	from, n, status := int64(0), f.Size, http.StatusOK
	cond := r.Header.Get("If-Range")
	if r.Method == http.MethodGet && (cond == "" || cond == tag) { // a Range belongs to GET (RFC 9110 section 14.2)
		from, n, status = span(r.Header.Get("Range"), f.Size)
	}
	if status == http.StatusRequestedRangeNotSatisfiable {
		h.Set("Content-Range", fmt.Sprintf("bytes */%d", f.Size))
		refuse(w, problem(status, "range", fmt.Sprintf("%s lies outside of the %d bytes of %s", r.Header.Get("Range"), f.Size, ref)))
		return
	}
	var (
		content io.Reader = http.NoBody
		first   []byte
	)
	if r.Method == http.MethodGet && n > 0 {
		object, _, err := a.o.Objects.Content(r.Context(), ref, from)
		if err != nil {
			respond(w, notTracked(ref.Key, err))
			return
		}
		defer object.Close()
		content = object
		// Until a byte has come, a failure can still be told.
		if first, err = begin(object, n); err != nil {
			respond(w, fmt.Errorf("read %s: %w", ref, err))
			return
		}
	}
	h.Set("ETag", tag)
	h.Set("Content-Type", contentType(f.Filename))
	h.Set("Content-Length", strconv.FormatInt(n, 10))
	h.Set("Content-Disposition", disposition(f.Filename))
	if status == http.StatusPartialContent {
		h.Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", from, from+n-1, f.Size))
	}
	w.WriteHeader(status)
	if len(first) == 0 {
		return
	}
	if err := pass(w, first, content, n); err != nil {
		panic(http.ErrAbortHandler) // net/http then breaks the connection
	}
}

// copyBuffer is how much of an object is on its way through a handler, in bytes.
const copyBuffer = 256 << 10

// begin reads the first of n bytes that have to come.
func begin(r io.Reader, n int64) ([]byte, error) {
	first := make([]byte, min(n, copyBuffer))
	got, err := io.ReadAtLeast(r, first, 1)
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return first[:got], err
}

// pass writes first and the rest of n bytes; fewer are an error.
func pass(w io.Writer, first []byte, rest io.Reader, n int64) error {
	if _, err := w.Write(first); err != nil {
		return err
	}
	left := n - int64(len(first))
	got, err := io.CopyBuffer(struct{ io.Writer }{w}, io.LimitReader(rest, left), first[:cap(first)])
	if err == nil && got < left {
		err = io.ErrUnexpectedEOF
	}
	return err
}

func disposition(filename string) string {
	if d := mime.FormatMediaType("attachment", map[string]string{"filename": filename}); d != "" {
		return d
	}
	return "attachment"
}

func contentType(filename string) string {
	if t := mime.TypeByExtension(path.Ext(filename)); t != "" {
		return t
	}
	return "application/octet-stream"
}
