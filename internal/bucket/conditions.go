package bucket

import (
	"context"
	"errors"
	"net/http"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/minio/crc64nvme"

	"archiver/internal/fault"
	"archiver/internal/state"
)

// ConditionsKey is the one object that ProbeConditions makes, behind it "-" and
// Options.ProbeID if there is one.
const ConditionsKey = probePrefix + "conditions"

// ProbeConditions finds out whether the store honours If-None-Match: * on
// PutObject and on CompleteMultipartUpload, and If-Match on PutObject. That
// takes an object that exists: it makes ConditionsKey, a few bytes, tries to
// overwrite it against each condition, and removes it. Where one is left from
// an earlier run, that one serves.
//
// It returns the current capabilities with the three conditions set, which
// are used from then on; to be called after Probe. left names the object if
// it could not be removed (no right, a lock), else "". On an error nothing is
// changed.
func (b *Bucket) ProbeConditions(ctx context.Context) (caps state.Capabilities, left string, err error) {
	p := &probe{b: b, key: ConditionsKey, body: []byte(probeText), caps: b.Capabilities()}
	if b.opts.ProbeID != "" {
		p.key += "-" + b.opts.ProbeID
	}
	p.sum = crc64nvme.Checksum(p.body)
	end, err := p.begin(ctx)
	if err != nil {
		return state.Capabilities{}, "", err
	}
	defer end()
	if err := p.provide(ctx); err != nil {
		return state.Capabilities{}, "", err
	}
	err = p.conditions(ctx)
	if gone := p.cleanUp(ctx); gone != nil {
		left = b.subject(p.key)
	}
	if err != nil {
		return state.Capabilities{}, left, err
	}
	p.caps.ProbedAt = b.clock().UTC()
	b.SetCapabilities(p.caps)
	return p.caps, left, nil
}

// sumToSend is the body's checksum where the store is not known to break on
// one.
func (p *probe) sumToSend() *string {
	if p.b.sendsPutCRC() {
		return p.right()
	}
	return nil
}

// provide makes sure that the object exists and is the probe's.
func (p *probe) provide(ctx context.Context) error {
	info, err := p.b.Head(ctx, p.key, "")
	switch fault.KindOf(err) {
	case "":
		if info.Metadata["archiver-probe"] != "1" {
			return local("probe", p.b.subject(p.key), fault.Exists, "a foreign object is where the probe wants to work", "remove or rename it")
		}
		p.made = append(p.made, info.VersionID)
		return nil
	case fault.NotFound:
	default:
		return err
	}
	v, err := p.put(ctx, p.sumToSend(), nil, nil)
	switch {
	case err != nil:
		return errors.Join(err, p.cleanUp(ctx))
	case v != accepted:
		return local("probe", p.b.subject(p.key), fault.BadRequest, "the store refuses the probe's object", "")
	}
	return p.readable(ctx)
}

// readable finds out whether the role may read what it wrote: nothing else asks
// before small files are deleted at their source. Of an object that is there, a
// refusal is told from its absence.
func (p *probe) readable(ctx context.Context) error {
	_, err := p.b.Head(ctx, p.key, p.made[len(p.made)-1])
	refused, ok := errors.AsType[*fault.Error](err)
	if !ok || refused.Status != http.StatusForbidden {
		return nil
	}
	told := *refused
	told.Kind, told.Hint = fault.Unauthorized, hintMayNotRead
	return errors.Join(&told, p.cleanUp(ctx))
}

func (p *probe) conditions(ctx context.Context) error {
	star := aws.String("*")
	// Twice: another archiver's probe may have removed the object just now, but
	// what the first try then made is there for the second.
	for range 2 {
		v, err := p.put(ctx, p.sumToSend(), star, nil)
		if err != nil {
			return err
		}
		if p.caps.ConditionalPut = v == condition; p.caps.ConditionalPut {
			break
		}
	}
	v, err := p.put(ctx, p.sumToSend(), nil, aws.String(noETag))
	if err != nil {
		return err
	}
	p.caps.ConditionalReplace = v == condition
	withCRC, err := p.open(ctx)
	if err != nil {
		return err
	}
	var sum *string
	if withCRC && p.b.sendsPartCRC() {
		sum = p.right()
	}
	part, fe := p.b.uploadPart(ctx, p.key, p.uploadID, 1, p.body, sum)
	if fe != nil {
		return fe
	}
	in := p.b.completeInput(p.key, p.uploadID, int64(len(p.body)), p.parts(part), sum != nil)
	in.IfNoneMatch = star
	v, err = p.complete(ctx, in)
	p.caps.ConditionalComplete = v == condition
	return err
}
