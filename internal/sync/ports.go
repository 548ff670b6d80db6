package sync

import (
	"context"
	"io"
	"time"

	"archiver/internal/download"
	"archiver/internal/meetingapi"
	"archiver/internal/state"
)

// Store is what the syncer needs of a state store.
type Store interface {
	state.Transfers
	state.Queue
	Update(ctx context.Context, k state.Key, decide state.Decide) (state.Recording, error)
	Get(ctx context.Context, k state.Key) (state.Recording, error)
	StoreWarrant(ctx context.Context, w state.Warrant, perHour int, permit func() error) (state.Recording, error)
	Warrant(ctx context.Context, tenant, id string) (state.Warrant, error)
	WarrantsSince(ctx context.Context, tenant string, t time.Time) (int, error)
	Fact(ctx context.Context, name string) ([]byte, error)
	SetFact(ctx context.Context, name string, value []byte) error
}

// Vendor is the vendor's side of a tenant. DelRecordFile is called by one
// function alone, which takes a warrant.
type Vendor interface {
	GetRecords(ctx context.Context, recordID string, p meetingapi.Priority) (meetingapi.Listing, error)
	// DelRecordFile asks permit when its turn under api_rate has come, right
	// before the one request is made; permit's error is returned as it is.
	DelRecordFile(ctx context.Context, recordID string, permit func() error) error
}

// Source reads the bytes behind a presigned URL.
type Source interface {
	// Get begins to read. When the answer is not of the pinned version the
	// error's kind is fault.Changed, never other bytes.
	Get(ctx context.Context, r download.Request) (*download.Response, error)
	// Stat asks for one byte and returns what the answer said of the file.
	Stat(ctx context.Context, url string) (download.Info, error)
}

// Observer is told of what the audit log does not tell, for metrics. Its
// methods are called from many goroutines, some for each read, and must return
// at once.
type Observer interface {
	// SourceRead is told of bytes that came from a source.
	SourceRead(tenant string, n int)
	// BucketTook is told of bytes that the bucket has acknowledged: a part
	// that is recorded, or a whole object.
	BucketTook(tenant string, n int64)
	// FileStored is told of a file whose bytes are all in the bucket, of its
	// size, and of how long its last attempt took, which did it.
	FileStored(tenant string, size int64, took time.Duration)
	// Retried is told that a read or a part is to be tried again, at once or
	// later, because of SideSource or SideBucket.
	Retried(tenant, side string)
	// LinkRefreshed is told that the vendor is asked for a link, and why: a
	// constant named Refresh….
	LinkRefreshed(tenant, reason string)
	// Verification is told of the proof of an object: of the level that it
	// reached ("" where it did not come so far) and of one of the results.
	Verification(tenant string, level state.Level, result string)
}

// Destination is one bucket. All errors are *fault.Error.
type Destination interface {
	Prober
	Objects
	Uploads
}

// Prober tells what a bucket is good for.
type Prober interface {
	// Probe finds out, by wrong checksums that must be refused, what the
	// bucket proves. It leaves no object behind. An error with ProbedAt set is
	// a warning: the capabilities are good, and it says what is not.
	Probe(ctx context.Context) (state.Capabilities, error)
	// ProbeConditions finds out, on a small object that it makes and removes,
	// which conditions the bucket honours. left names the object if it could
	// not be removed.
	ProbeConditions(ctx context.Context) (c state.Capabilities, left string, err error)
	// SetCapabilities hands over what an earlier probe found.
	SetCapabilities(c state.Capabilities)
	// Check asks whether the bucket is there and lets us in.
	Check(ctx context.Context) error
}

// Objects are whole objects.
type Objects interface {
	// Put writes an object that must not exist yet. When it returns, the
	// object is durable, and what is returned is what HEAD says of it then, or
	// what the answer proved; a zero LastModified is not known yet.
	// fault.Exists: another object lies there. A lost answer is settled by
	// asking before Put returns.
	Put(ctx context.Context, spec state.ObjectSpec, body []byte, sums state.Checksums) (state.ObjectInfo, error)
	// Head returns what the bucket says now, fault.NotFound if it has none.
	Head(ctx context.Context, key, versionID string) (state.ObjectInfo, error)
	// Get reads from offset on; ifMatch "" takes any version.
	Get(ctx context.Context, key, versionID string, offset int64, ifMatch string) (io.ReadCloser, state.ObjectInfo, error)
	// PutManifest replaces the object whose ETag is ifMatch; "": there must
	// be none. fault.Exists or fault.Changed: the condition did not hold.
	PutManifest(ctx context.Context, key string, body []byte, ifMatch string) (etag string, err error)
}

// Uploads are multipart uploads.
type Uploads interface {
	CreateUpload(ctx context.Context, spec state.ObjectSpec) (uploadID string, err error)
	// UploadPart returns when the part is durable; the bucket compared the
	// checksum where it can.
	UploadPart(ctx context.Context, key, uploadID string, number int32, body []byte, crc64nvme uint64) (etag string, err error)
	// ListParts returns the parts that the bucket has, fault.NotFound if it
	// has no such upload.
	ListParts(ctx context.Context, key, uploadID string) ([]state.Part, error)
	// CompleteUpload makes the object and returns what HEAD says of it then. A
	// lost answer, a 200 with an error, 409 and 412 are settled by asking.
	// fault.NotFound: neither the upload nor its object exist.
	CompleteUpload(ctx context.Context, spec state.ObjectSpec, uploadID string, parts []state.Part, sums state.Checksums) (state.ObjectInfo, error)
	// AbortUpload returns nil when the upload is gone.
	AbortUpload(ctx context.Context, key, uploadID string) error
	// ListUploads lists open uploads whose key begins with prefix.
	ListUploads(ctx context.Context, prefix string) ([]state.UploadInfo, error)
}
