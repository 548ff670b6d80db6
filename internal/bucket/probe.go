package bucket

import (
	"context"
	"crypto/rand"
	"errors"
	"hash/crc64"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/minio/crc64nvme"

	"archiver/internal/fault"
	"archiver/internal/state"
)

const (
	// probePrefix is where probes take place; the role needs its rights there
	// too.
	probePrefix = ".archiver-probe/"
	probeText   = "This object was made by the archiver to find out what this bucket proves. It may be removed.\n"
	// cleanupTimeout bounds what is done after a probe that was cut.
	cleanupTimeout = 30 * time.Second
	noETag         = `"00000000000000000000000000000000"` // the ETag of nothing
)

// verdict is how a store took a request that it should refuse.
type verdict string

const (
	accepted  verdict = "accepted"
	checksum  verdict = "checksum"  // refused, for the checksum
	condition verdict = "condition" // refused, for the condition
	otherwise verdict = "otherwise" // refused, for another reason
)

// judge turns a refusal into a verdict; what is no refusal (the store could
// not be asked, or refuses us altogether) stays an error.
func judge(fe *fault.Error) (verdict, error) {
	if fe == nil {
		return accepted, nil
	}
	switch fe.Kind {
	case fault.Corrupt:
		return checksum, nil
	case fault.Exists:
		return condition, nil
	case fault.BadRequest, fault.Rejected, fault.NotFound:
		return otherwise, nil
	default:
		return "", fe
	}
}

// Probe is the negative probe of promise 2. It sends wrong checksums (with a
// part, with Complete, with PutObject) under a name of its own in
// .archiver-probe/, and believes only what is refused for being wrong while
// the right one is taken. It creates no object and leaves no upload. A store
// that takes a wrong one has made a small object, which is removed at once.
//
// The capabilities are used from then on. ConditionalPut, ConditionalComplete
// and, where it can't be seen here, ConditionalReplace are as they were before:
// ProbeConditions finds them out.
// Own CRC-64s (COS, OSS) are believed if they are right, since nobody sent them.
//
// An error with ProbedAt zero means that the probe failed and nothing is
// changed; one with ProbedAt set (fault.Exists) names the object that could not be
// removed, and the capabilities are good.
func (b *Bucket) Probe(ctx context.Context) (state.Capabilities, error) {
	before := b.Capabilities()
	p := &probe{b: b, key: probePrefix + strings.ToLower(rand.Text()), body: []byte(probeText)}
	if b.opts.ProbeID != "" {
		p.key = probePrefix + b.opts.ProbeID
	}
	p.sum = crc64nvme.Checksum(p.body)
	end, err := p.begin(ctx)
	if err != nil {
		return state.Capabilities{}, err
	}
	defer end()
	err = p.multipart(ctx)
	if err == nil {
		err = p.single(ctx)
	}
	left := p.cleanUp(ctx)
	if err != nil {
		return state.Capabilities{}, errors.Join(err, left)
	}
	p.caps.ConditionalPut, p.caps.ConditionalComplete = before.ConditionalPut, before.ConditionalComplete
	p.caps.ConditionalReplace = p.caps.ConditionalReplace || before.ConditionalReplace
	p.caps.ProbedAt = b.clock().UTC()
	b.SetCapabilities(p.caps)
	return p.caps, left
}

// probe is one run of Probe or ProbeConditions.
type probe struct {
	b    *Bucket
	key  string
	body []byte
	sum  uint64 // the body's CRC64NVME
	caps state.Capabilities

	made     []string // versions ("" without versioning) of objects that were made
	uploadID string   // "" when none is open
}

// turns keeps apart the probes of this process that work under one name: of two
// at once, each would sweep away the upload that the other is at work on.
// Tenants that share a bucket have a Bucket each, so it belongs to none of them.
var turns sync.Map // of chan struct{} with room for the one whose turn it is, by endpoint, bucket and key

// begin waits for the probe's turn and sweeps; end does so once more, since what
// a killed one had asked for may have come about only meanwhile. What comes about
// later still is left to the next probe.
func (p *probe) begin(ctx context.Context) (end func(), err error) {
	if p.b.opts.ProbeID == "" {
		return func() {}, nil
	}
	v, _ := turns.LoadOrStore(p.b.endpoint+" "+p.b.subject(p.key), make(chan struct{}, 1))
	turn, _ := v.(chan struct{})
	select {
	case turn <- struct{}{}:
	case <-ctx.Done():
		return nil, p.b.classify(ctx, "probe", p.b.subject(p.key), ctx.Err())
	}
	p.sweep(ctx)
	return func() {
		p.sweep(ctx)
		<-turn
	}, nil
}

// sweep aborts what a killed probe of ours left open. What may not be listed
// is not swept: that is no reason not to probe.
func (p *probe) sweep(ctx context.Context) {
	open, err := p.b.ListUploads(ctx, p.key)
	if err != nil {
		return
	}
	for _, u := range open {
		if u.Key == p.key {
			_ = p.b.AbortUpload(ctx, u.Key, u.UploadID) // tried again at the next probe
		}
	}
}

func (p *probe) spec() state.ObjectSpec {
	return state.ObjectSpec{Key: p.key, ContentType: "text/plain", Size: int64(len(p.body)), Metadata: map[string]string{"archiver-probe": "1"}}
}

func (p *probe) right() *string { return encodeCRC(p.sum) }
func (p *probe) wrong() *string { return encodeCRC(^p.sum) }

// open starts an upload, with checksums if the store knows them.
func (p *probe) open(ctx context.Context) (withCRC bool, err error) {
	in := &s3.CreateMultipartUploadInput{
		Bucket: &p.b.name, Key: &p.key, Metadata: p.spec().Metadata,
		ChecksumAlgorithm: types.ChecksumAlgorithmCrc64nvme, ChecksumType: types.ChecksumTypeFullObject,
		ServerSideEncryption: types.ServerSideEncryption(p.b.opts.SSE), SSEKMSKeyId: optional(p.b.opts.SSEKMSKeyID),
	}
	p.uploadID, err = p.b.create(ctx, in)
	switch fault.KindOf(err) {
	case "":
		return true, nil
	case fault.BadRequest, fault.Rejected, fault.Corrupt:
	default:
		return false, err
	}
	in.ChecksumAlgorithm, in.ChecksumType = "", ""
	p.uploadID, err = p.b.create(ctx, in)
	return false, err
}

// multipart learns PartChecksum, FullObject and OwnCRC64ECMA.
func (p *probe) multipart(ctx context.Context) error {
	withCRC, err := p.open(ctx)
	if err != nil {
		return err
	}
	var wrong, right verdict
	var part *s3.UploadPartOutput
	var fe *fault.Error
	if withCRC {
		_, fe = p.b.uploadPart(ctx, p.key, p.uploadID, 1, p.body, p.wrong())
		if wrong, err = judge(fe); err != nil {
			return err
		}
		part, fe = p.b.uploadPart(ctx, p.key, p.uploadID, 1, p.body, p.right())
		if right, err = judge(fe); err != nil {
			return err
		}
		p.caps.PartChecksum = wrong != accepted && right == accepted
	}
	if part == nil {
		if part, fe = p.b.uploadPart(ctx, p.key, p.uploadID, 1, p.body, nil); fe != nil {
			return fe
		}
	}
	own := ecmaOf(headerOf(part.ResultMetadata))
	p.caps.OwnCRC64ECMA = own != nil && *own == crc64.Checksum(p.body, crc64.MakeTable(crc64.ECMA))
	if !p.caps.PartChecksum {
		return nil
	}
	in := p.b.completeInput(p.key, p.uploadID, int64(len(p.body)), p.parts(part), true)
	in.ChecksumCRC64NVME, in.ChecksumType = p.wrong(), types.ChecksumTypeFullObject
	v, err := p.complete(ctx, in)
	p.caps.FullObject = v == checksum
	return err
}

func (p *probe) parts(out *s3.UploadPartOutput) []state.Part {
	return []state.Part{{Number: 1, Size: int64(len(p.body)), ETag: aws.ToString(out.ETag), CRC64NVME: p.sum}}
}

func (p *probe) complete(ctx context.Context, in *s3.CompleteMultipartUploadInput) (verdict, error) {
	version, fe := p.b.complete(ctx, in)
	v, err := judge(fe)
	if v == accepted || err != nil { // an error may hide an object
		p.made = append(p.made, version)
	}
	return v, err
}

// put sends the probe's body with a condition and a checksum, each maybe nil.
func (p *probe) put(ctx context.Context, sum, ifNoneMatch, ifMatch *string) (verdict, error) {
	in := &s3.PutObjectInput{
		Bucket: &p.b.name, Key: &p.key, ContentType: aws.String("text/plain"), Metadata: p.spec().Metadata,
		ContentLength: aws.Int64(int64(len(p.body))), IfNoneMatch: ifNoneMatch, IfMatch: ifMatch,
		ServerSideEncryption: types.ServerSideEncryption(p.b.opts.SSE), SSEKMSKeyId: optional(p.b.opts.SSEKMSKeyID),
	}
	if sum != nil {
		in.ChecksumAlgorithm, in.ChecksumCRC64NVME = types.ChecksumAlgorithmCrc64nvme, sum
	} else {
		in.ContentMD5 = md5Of(p.body)
	}
	version, fe := p.b.put(ctx, in, p.body)
	if fe != nil && ifMatch != nil && fe.Kind == fault.NotFound {
		fe.Kind = fault.Exists // If-Match on a key that is not there: 404 refuses it as well as 412
	}
	v, err := judge(fe)
	if v == accepted || err != nil {
		p.made = append(p.made, version)
	}
	return v, err
}

// single learns PutChecksum, and ConditionalReplace where a wrong checksum
// makes it safe to try on nothing.
func (p *probe) single(ctx context.Context) error {
	v, err := p.put(ctx, p.wrong(), nil, nil)
	if err != nil {
		return err
	}
	p.caps.PutChecksum = v == checksum
	if !p.caps.PutChecksum {
		return nil
	}
	v, err = p.put(ctx, p.wrong(), nil, aws.String(noETag))
	p.caps.ConditionalReplace = v == condition
	return err
}

// cleanUp leaves nothing behind, also after a cut; the error names what stays.
func (p *probe) cleanUp(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanupTimeout)
	defer cancel()
	var errs []error
	if p.uploadID != "" {
		errs = append(errs, p.b.AbortUpload(ctx, p.key, p.uploadID))
	}
	for _, version := range p.made {
		err := p.b.remove(ctx, p.key, version)
		if err == nil {
			continue
		}
		if _, headErr := p.b.Head(ctx, p.key, version); fault.KindOf(headErr) == fault.NotFound {
			continue
		}
		return errors.Join(append(errs, p.stays(err))...)
	}
	return errors.Join(errs...)
}

// stays is the error for an object that can't be removed.
func (p *probe) stays(cause error) error {
	out := local("probe", p.b.subject(p.key), fault.Exists, "the probe's object can't be removed", "remove it by hand, or give the role "+rightsFor("DeleteObject")+" on "+probePrefix+"*")
	if fe, ok := errors.AsType[*fault.Error](cause); ok {
		out.Status, out.Code = fe.Status, fe.Code
		out.Err = errors.New("the probe's object can't be removed: " + fe.Err.Error())
	}
	return out
}
