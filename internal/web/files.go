package web

import (
	"context"
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
			l, err := a.o.Objects.Link(ctx, state.FileRef{Key: k, FileID: in.FileID}, ttl)
			return &body[apitype.Link]{Body: l}, err
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

func (a *API) content(ctx context.Context, in *FilePath) (*huma.StreamResponse, error) {
	k, err := in.key()
	if err != nil {
		return nil, err
	}
	r, err := a.o.Store.Get(ctx, k)
	if err != nil {
		return nil, notTracked(k, err)
	}
	f, ok := r.File(in.FileID)
	if !ok || f.Phase != state.Verified {
		return nil, problem(http.StatusNotFound, "no_such_file", fmt.Sprintf("recording %s has no archived file %q; archiver show %s lists them", k, in.FileID, k.RecordID))
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
	h.Set("ETag", tag)
	from, n, status := span(r.Header.Get("Range"), f.Size)
	if cond := r.Header.Get("If-Range"); cond != "" && cond != tag {
		from, n, status = 0, f.Size, http.StatusOK
	}
	if status == http.StatusRequestedRangeNotSatisfiable {
		h.Set("Content-Range", fmt.Sprintf("bytes */%d", f.Size))
		refuse(w, problem(status, "range", fmt.Sprintf("%s lies outside of the %d bytes of %s", r.Header.Get("Range"), f.Size, ref)))
		return
	}
	var content io.ReadCloser
	if r.Method != http.MethodHead && n > 0 {
		var err error
		if content, _, err = a.o.Objects.Content(r.Context(), ref, from); err != nil {
			respond(w, err)
			return
		}
		defer content.Close()
	}
	h.Set("Content-Type", contentType(f.Filename))
	h.Set("Content-Length", strconv.FormatInt(n, 10))
	h.Set("Content-Disposition", mime.FormatMediaType("attachment", map[string]string{"filename": f.Filename}))
	if status == http.StatusPartialContent {
		h.Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", from, from+n-1, f.Size))
	}
	w.WriteHeader(status)
	if content == nil {
		return
	}
	if _, err := io.CopyBuffer(struct{ io.Writer }{w}, io.LimitReader(content, n), make([]byte, 256<<10)); err != nil {
		panic(http.ErrAbortHandler) // net/http then breaks the connection
	}
}

func contentType(filename string) string {
	if t := mime.TypeByExtension(path.Ext(filename)); t != "" {
		return t
	}
	return "application/octet-stream"
}
