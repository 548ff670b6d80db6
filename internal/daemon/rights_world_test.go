package daemon_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"archiver/internal/daemon"
	"archiver/internal/sandbox/faultproxy"
	"archiver/internal/sandbox/s3server"
	"archiver/internal/sandbox/vendorsim"
	"archiver/internal/state"
)

// policy is an IAM policy, or with a Principal a bucket's.
type policy struct {
	Version   string
	Statement []statement
}

type statement struct {
	Sid       string
	Effect    string
	Principal map[string][]string `json:",omitempty"`
	Action    []string
	Resource  []string
}

// documents is where docs/ is: the gateway changes the working directory.
var documents = func() string {
	dir, err := os.Getwd()
	if err != nil {
		panic(err)
	}
	return filepath.Join(dir, "..", "..", "docs")
}()

// documentedPolicy is the minimal policy as operators are told it.
func documentedPolicy(t *testing.T) policy {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(documents, "operations.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, block := range regexp.MustCompile("(?s)```json\n(.*?)```").FindAllSubmatch(text, -1) {
		var p policy
		if json.Unmarshal(block[1], &p) == nil && len(p.Statement) > 0 {
			return p
		}
	}
	t.Fatal("docs/operations.md holds no policy")
	return policy{}
}

// with adds rights to the statement of that Sid.
func (p policy) with(sid string, actions ...string) policy {
	return p.each(func(s *statement) {
		if s.Sid == sid {
			s.Action = append(s.Action, actions...)
		}
	})
}

// without takes a right away, wherever it is given.
func (p policy) without(action string) policy {
	out := p.each(func(s *statement) {
		s.Action = slices.DeleteFunc(s.Action, func(a string) bool { return a == action })
	})
	out.Statement = slices.DeleteFunc(out.Statement, func(s statement) bool { return len(s.Action) == 0 })
	return out
}

func (p policy) each(change func(*statement)) policy {
	p.Statement = slices.Clone(p.Statement)
	for i := range p.Statement {
		s := &p.Statement[i]
		s.Action, s.Resource = slices.Clone(s.Action), slices.Clone(s.Resource)
		change(s)
	}
	return p
}

// rightsWorld is a world whose bucket lies with the gateway that has two
// accounts, and whose archiver is the one without any right of its own.
type rightsWorld struct {
	*world
	owner *s3.Client
	undo  []func()
}

func newRightsWorld(t *testing.T, gateway string, sink zapcore.Core, c deprived) *rightsWorld {
	t.Helper()
	w := &rightsWorld{owner: s3server.NewClient(gateway, ownerKey, ownerSecret), world: &world{
		t: t, dir: t.TempDir(), bucket: fmt.Sprintf("rights-%d", bucketSerial.Add(1)),
		vendor: vendorsim.New(vendorsim.Options{NoCRC64: true, Tenants: map[string]string{"acme": authKey}}),
		extra:  worldOptions{sink: sink, storage: c.storage},
	}}
	if err := w.vendor.Start(""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.vendor.Close() })
	in := &s3.CreateBucketInput{Bucket: &w.bucket, ObjectLockEnabledForBucket: aws.Bool(c.kept)}
	if _, err := w.owner.CreateBucket(t.Context(), in); err != nil {
		t.Fatal(err)
	}
	var err error
	w.proxy, err = faultproxy.Start(t.Context(), faultproxy.Options{Upstream: gateway, AccessKey: roleKey, SecretKey: roleSecret})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.proxy.Close() })
	return w
}

// grant makes p what the role may do.
func (w *rightsWorld) grant(p policy) {
	w.t.Helper()
	p = p.each(func(s *statement) {
		s.Principal = map[string][]string{"AWS": {roleKey}}
		for i, r := range s.Resource {
			s.Resource[i] = strings.Replace(r, ":::recordings", ":::"+w.bucket, 1)
		}
	})
	text, err := json.Marshal(p)
	if err != nil {
		w.t.Fatal(err)
	}
	_, err = w.owner.PutBucketPolicy(w.t.Context(), &s3.PutBucketPolicyInput{Bucket: &w.bucket, Policy: aws.String(string(text))})
	if err != nil {
		w.t.Fatalf("%v: %s", err, text)
	}
}

// deny takes a right away, and what AWS does then that the gateway does not.
func (w *rightsWorld) deny(enough policy, c deprived) {
	w.t.Helper()
	w.grant(enough.without(c.right))
	for _, r := range c.aws {
		w.undo = append(w.undo, w.proxy.Inject(r))
	}
}

// give gives all of it back.
func (w *rightsWorld) give(enough policy) {
	w.t.Helper()
	w.grant(enough)
	for _, undo := range w.undo {
		undo()
	}
}

// logged reports whether one line of the log, from warn on, says all that.
func logged(logs *observer.ObservedLogs, says []string) bool {
	for _, e := range logs.FilterLevelExact(zapcore.ErrorLevel).All() {
		if containsAll(e.Message+fmt.Sprint(e.ContextMap()), says) {
			return true
		}
	}
	for _, e := range logs.FilterLevelExact(zapcore.WarnLevel).All() {
		if containsAll(e.Message+fmt.Sprint(e.ContextMap()), says) {
			return true
		}
	}
	return false
}

func containsAll(text string, parts []string) bool {
	return !slices.ContainsFunc(parts, func(p string) bool { return !strings.Contains(text, p) })
}

// interrupted begins to archive a recording and stops the archiver behind its
// first part, so that the next one has to ask for the parts.
func (w *rightsWorld) interrupted(id string) {
	w.t.Helper()
	remove := w.everywhere(faultproxy.Rule{Method: "PUT", Query: []string{"partNumber"}, Path: regexp.MustCompile("/" + id + "/"), After: 1}, faultproxy.Hang{})
	defer remove()
	d := w.open()
	ctx, cut := context.WithCancel(w.t.Context())
	var running sync.WaitGroup
	running.Go(func() { _, _ = d.Backfill(ctx, ctx, []state.Key{key(id)}, time.Minute) }) // cut, and that is its error
	until(w.t, "a part is recorded", func() bool {
		r, err := d.Store().Get(w.t.Context(), key(id))
		if err != nil || len(r.Files) == 0 {
			return false
		}
		parts, err := d.Store().Parts(w.t.Context(), state.FileRef{Key: key(id), FileID: r.Files[0].ID})
		return err == nil && len(parts) > 0
	})
	cut()
	running.Wait()
	if err := d.Close(); err != nil {
		w.t.Fatal(err)
	}
}

// holds checks what must be true of the world once every right is there.
func (w *rightsWorld) holds(d *daemon.Daemon, c deprived, ids ...string) {
	w.t.Helper()
	truth, err := s3server.Truth(w.t.Context(), w.owner, w.bucket)
	if err != nil {
		w.t.Fatal(err)
	}
	inProbe := func(key string) bool { return strings.HasPrefix(key, ".archiver-probe/") }
	for _, u := range truth.Uploads {
		if c.leavesUpload == inProbe(u.Key) {
			continue
		}
		w.t.Errorf("left open: an upload of %s", u.Key)
	}
	got := map[string]string{}
	for _, o := range truth.Objects {
		if inProbe(o.Key) {
			if !c.leavesObject {
				w.t.Errorf("left behind: %s", o.Key)
			}
			continue
		}
		got[o.Key] = o.SHA256
	}
	for _, id := range ids {
		r := w.get(d, id)
		vendors, _ := w.vendor.Recording(id)
		want, err := vendors.Files[0].SHA256()
		if err != nil || r.Status != state.Archived {
			w.t.Fatalf("%s is %s (%s %s) %v", id, r.Status, r.Reason, r.Detail, err)
		}
		if got[r.Files[0].Key] != want {
			w.t.Errorf("%s: %s has SHA-256 %q, the vendor's %s", id, r.Files[0].Key, got[r.Files[0].Key], want)
		}
		if _, ok := got["manifests/acme/"+id+".json"]; !ok {
			w.t.Errorf("%s has no manifest", id)
		}
		w.verifies(d, id)
	}
	if len(got) != 2*len(ids) {
		w.t.Errorf("%d objects, want a file and a manifest of each: %v", len(got), got)
	}
	w.sound(d)
}

// verifies reads a recording back, as the command does.
func (w *rightsWorld) verifies(d *daemon.Daemon, id string) {
	w.t.Helper()
	for _, deep := range []bool{false, true} {
		v, err := d.Verify(w.t.Context(), key(id), deep)
		if err != nil || !v.OK || len(v.Files) != 1 {
			w.t.Errorf("verify %s (deep %v): %v %+v", id, deep, err, v)
		}
	}
}
