package daemon_test

import (
	"strings"
	"testing"
	"time"

	"archiver/internal/sandbox/faultproxy"
	"archiver/internal/state"
)

// deprived is a role that lacks a right, and what the archiver has to make of
// that.
type deprived struct {
	right   string   // that it lacks; "" is none
	pauses  bool     // all transfers wait until it is given; else they go on with less
	says    []string // what the person who can give it is told
	storage string   // YAML of storage, indented by 2
	kept    bool     // the bucket keeps versions and has object lock
	objects []string // rights on objects that the role has besides the documented ones
	probe   []string // likewise on those of the probe

	later        bool              // it is lacking from the second start on only
	aws          []faultproxy.Rule // answers that AWS gives to such a role and the gateway does not
	leavesUpload bool              // one of the probe's stays, until its next run
	leavesObject bool              // likewise
}

var refused = faultproxy.Reply{Status: 403, Code: "AccessDenied", ReadBody: true}

// roles are one row a right. All but those of KMS are refused by a real
// gateway's policies.
func roles() []deprived {
	versions := deprived{kept: true, objects: []string{"s3:GetObjectVersion"}, probe: []string{"s3:DeleteObjectVersion"}}
	locked := deprived{
		kept: true, storage: "  object_lock: {mode: governance, days: 1}\n",
		objects: []string{"s3:GetObjectVersion", "s3:PutObjectRetention"}, probe: []string{"s3:DeleteObjectVersion"},
	}
	tagged := deprived{storage: "  tags: {department: legal}\n", objects: []string{"s3:PutObjectTagging"}}
	lacking := func(c deprived, right string, pauses bool, says ...string) deprived {
		c.right, c.pauses, c.says = right, pauses, says
		return c
	}
	parts := lacking(deprived{later: true}, "s3:ListMultipartUploadParts", true, "s3 ListParts", "give the role s3:ListMultipartUploadParts")
	abort := lacking(deprived{leavesUpload: true}, "s3:AbortMultipartUpload", true, "s3 AbortMultipartUpload", "give the role s3:AbortMultipartUpload")
	list := lacking(deprived{}, "s3:ListBucket", true, "s3 Head", "s3:ListBucket")
	list.aws = []faultproxy.Rule{{Method: "HEAD", Do: refused}}
	remove := lacking(deprived{leavesObject: true}, "s3:DeleteObject", false, "left an object behind", "s3:DeleteObject")
	removeVersion := lacking(versions, "s3:DeleteObjectVersion", false, "left an object behind", "s3:DeleteObjectVersion")
	removeVersion.leavesObject = true
	kms := lacking(deprived{}, "kms:GenerateDataKey", true, "s3 CreateMultipartUpload", "kms:GenerateDataKey and kms:Decrypt")
	kms.aws = []faultproxy.Rule{{Method: "PUT", Do: refused}, {Method: "POST", Do: refused}}
	return []deprived{
		{},
		versions, locked, tagged,
		{storage: "  verify: readback\n"},
		lacking(deprived{}, "s3:PutObject", true, "s3 CreateMultipartUpload", "give the role s3:PutObject"),
		lacking(deprived{}, "s3:GetObject", true, "s3 HeadObject", "give the role s3:GetObject"),
		abort, parts,
		lacking(deprived{}, "s3:ListBucketMultipartUploads", true, "s3 ListMultipartUploads", "give the role s3:ListBucketMultipartUploads"),
		list, remove, removeVersion,
		lacking(versions, "s3:GetObjectVersion", true, "s3 HeadObject", "s3:GetObjectVersion"),
		lacking(tagged, "s3:PutObjectTagging", true, "s3 ", "with tags s3:PutObjectTagging"),
		lacking(locked, "s3:PutObjectRetention", true, "s3 ", "with a lock s3:PutObjectRetention"),
		kms,
	}
}

func (c deprived) name() string {
	if c.right == "" {
		return strings.TrimSpace("all of " + strings.Join(append(c.objects, strings.Fields(c.storage)...), " "))
	}
	return c.right
}

// TestRights gives the archiver exactly the rights that docs/operations.md
// names, and then denies each in turn: it says which operation was refused and
// which right to add, discards nothing, and goes on by itself once it has it.
func TestRights(t *testing.T) {
	if servesGateway(t) {
		return
	}
	gateway := startGateway(t)
	minimal := documentedPolicy(t)
	for _, c := range roles() {
		t.Run(c.name(), func(t *testing.T) {
			sink, logs := watched()
			w := newRightsWorld(t, gateway, sink, c)
			enough := minimal.with("Objects", c.objects...).with("Probe", c.probe...)
			w.recording("small", mib)
			w.recording("large", 11*mib)
			w.recording("lost", 11*mib)
			w.broken("lost", isCreate, 0, 1, faultproxy.DropReply{})
			w.grant(enough)
			if c.right == "" || c.later {
				w.interrupted("large")
			}
			w.deny(enough, c)
			d := w.open()
			end := w.begin(d, 30*time.Second, key("small"), key("large"), key("lost"))
			if c.right != "" {
				if c.pauses {
					until(t, "it is said where a person looks", func() bool {
						h := d.Ready(t.Context())
						return len(h.Reasons) == 1 && containsAll(h.Reasons[0], c.says)
					})
				}
				until(t, "it is logged", func() bool { return logged(logs, c.says) })
			}
			for _, id := range []string{"small", "large", "lost"} {
				if r, err := d.Store().Get(t.Context(), key(id)); err == nil && r.Status == state.Quarantined {
					t.Errorf("%s is quarantined: %s", id, r.Detail)
				}
			}
			w.give(enough)
			if sum := end(); len(sum.Attention) > 0 {
				t.Errorf("%+v", sum.Attention)
			}
			w.holds(d, c, "small", "large", "lost")
		})
	}
}
