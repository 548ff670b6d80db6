package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/rogpeppe/go-internal/testscript"
	"go.uber.org/zap"

	"archiver/internal/sandbox/content"
	"archiver/internal/sandbox/faultproxy"
	"archiver/internal/sandbox/s3server"
	"archiver/internal/sandbox/vendorsim"
	"archiver/internal/state/bolt"
)

type worldKey struct{}

// world is what a script has around it: a vendor, a bucket, and the processes
// that it began.
type world struct {
	vendor    *vendorsim.Server
	proxy     *faultproxy.Proxy // before the bucket
	bucket    string
	recorded  int
	before    map[string]int // calls before the last "fault none"
	held      chan struct{}  // closed by "fault release"
	processes map[string]*child
	tenants   []string
	told      watched // by processes to the service manager
	heard     int     // bytes of it that were looked at
}

func worldOf(ts *testscript.TestScript) *world { return ts.Value(worldKey{}).(*world) }

var bucketSerial atomic.Int64

// patience is for what must happen; nothing waits that long if all is well.
const patience = 30 * time.Second

// cmdWorld starts the vendor and writes archiver.yaml:
//
//	world [TENANT…]
//
// The first tenant's lines come from acme.yaml, and further top-level ones from
// more.yaml, where the script has these files.
func cmdWorld(ts *testscript.TestScript, _ bool, tenants []string) {
	w := worldOf(ts)
	if len(tenants) == 0 {
		tenants = []string{"acme"}
	}
	keys := map[string]string{}
	for _, t := range tenants {
		keys[t] = "the-key-of-" + t
	}
	w.vendor = vendorsim.New(vendorsim.Options{Tenants: keys})
	ts.Check(w.vendor.Start(""))
	ts.Defer(func() { _ = w.vendor.Close() })
	w.bucket = fmt.Sprintf("bucket-%d", bucketSerial.Add(1))
	_, err := store.Client().CreateBucket(context.Background(), &s3.CreateBucketInput{Bucket: aws.String(w.bucket)})
	ts.Check(err)
	access, secret := store.Keys()
	w.proxy, err = faultproxy.Start(context.Background(), faultproxy.Options{Upstream: store.Endpoint(), AccessKey: access, SecretKey: secret})
	ts.Check(err)
	ts.Defer(func() { _ = w.proxy.Close() })
	w.tenants = tenants
	ts.Setenv("ARCHIVER_CONFIG", ts.MkAbs("archiver.yaml"))
	cmdAgain(ts, false, nil)
}

// cmdAgain writes archiver.yaml from what acme.yaml and more.yaml say now.
func cmdAgain(ts *testscript.TestScript, _ bool, _ []string) {
	w := worldOf(ts)
	var b strings.Builder
	b.WriteString("tenants:\n")
	for _, t := range w.tenants {
		fmt.Fprintf(&b, "  %s:\n    api_url: %s\n    auth: the-key-of-%s\n    api_rate: 10000\n    allow_loopback: true\n%s", t, w.vendor.APIURL(), t, optional(ts, t+".yaml"))
	}
	access, secret := store.Keys()
	fmt.Fprintf(&b, `storage:
  endpoint: %s
  bucket: %s
  path_style: true
  access_key_id: %s
  secret_access_key: %s
state:
  path: state.db
poll:
  schedule: "@every 1s"
  settle: 1s
transfer:
  part_size: 5MiB
  memory: 40MiB
http:
  listen: ""
%s`, w.proxy.Endpoint(), w.bucket, access, secret, optional(ts, "more.yaml"))
	ts.Check(os.WriteFile(ts.MkAbs("archiver.yaml"), []byte(b.String()), 0o600))
}

func optional(ts *testscript.TestScript, name string) string {
	text, err := os.ReadFile(ts.MkAbs(name))
	if errors.Is(err, os.ErrNotExist) {
		return ""
	}
	ts.Check(err)
	return string(text)
}

// cmdRecording adds a recording with MP4 files, an hour apart:
//
//	recording TENANT ID [SIZE|unfinished]…
func cmdRecording(ts *testscript.TestScript, _ bool, args []string) {
	w := worldOf(ts)
	r := vendorsim.Recording{ID: args[1], Tenant: args[0], ConferenceKey: "1866", EntID: 52}
	for i, a := range args[2:] {
		start := time.Date(2019, 5, 31, 1, 43, 9, 0, time.UTC).Add(time.Duration(24*w.recorded+i) * time.Hour)
		f := vendorsim.File{Start: start, Stop: start.Add(14 * time.Second)}
		size := int64(4096)
		if a == "unfinished" {
			f.ReadyAt = time.Now().Add(time.Hour)
		} else {
			var err error
			size, err = strconv.ParseInt(a, 10, 64)
			ts.Check(err)
		}
		var err error
		f.Content, err = content.MP4(uint64(100*w.recorded+i), size, content.Faststart)
		ts.Check(err)
		r.Files = append(r.Files, f)
	}
	w.recorded++
	ts.Check(w.vendor.AddRecording(r))
}

// upload is the path of a recording's object.
func upload() *regexp.Regexp { return regexp.MustCompile(`\.mp4$`) }

// cmdFault makes the vendor or the bucket misbehave, or behave again:
//
//	fault refuse ID CODE
//	fault lose CALL
//	fault hang upload|CALL
//	fault hold CALL
//	fault release
//	fault none
func cmdFault(ts *testscript.TestScript, _ bool, args []string) {
	w := worldOf(ts)
	switch args[0] {
	case "refuse":
		w.vendor.Inject(vendorsim.Fault{Call: "getRecords", Subject: args[1], Do: vendorsim.Envelope{Code: args[2]}})
	case "lose": // the reply of a call that took effect
		w.vendor.Inject(vendorsim.Fault{Call: args[1], Times: 1, Do: vendorsim.Reset{AfterEffect: true}})
	case "hang":
		if args[1] == "upload" {
			w.proxy.Inject(faultproxy.Rule{Method: "PUT", Path: upload(), Do: faultproxy.Hang{}})
		} else {
			w.vendor.Inject(vendorsim.Fault{Call: args[1], Do: vendorsim.Hang{}})
		}
	case "hold": // one call, until it is released
		w.held = make(chan struct{})
		w.vendor.Inject(vendorsim.Fault{Call: args[1], Times: 1, Do: vendorsim.Hold{Until: w.held}})
	case "release":
		close(w.held)
	case "none":
		w.vendor.ClearFaults()
		w.proxy.ClearRules()
		w.before = w.vendor.Counts()
		w.before["upload"] = w.count("upload")
	default:
		ts.Fatalf("fault %s?", args[0])
	}
}

// cmdCalls checks how often the vendor was called:
//
//	calls NAME N
func cmdCalls(ts *testscript.TestScript, _ bool, args []string) {
	if n := worldOf(ts).vendor.Counts()[args[0]]; strconv.Itoa(n) != args[1] {
		ts.Fatalf("%d calls of %s, want %s", n, args[0], args[1])
	}
}

// cmdReached waits until there were so many downloads or uploads since the
// beginning, or since "fault none", answered or not:
//
//	reached upload|CALL N
func cmdReached(ts *testscript.TestScript, _ bool, args []string) {
	want, err := strconv.Atoi(args[1])
	ts.Check(err)
	look := time.NewTicker(5 * time.Millisecond)
	defer look.Stop()
	late := time.After(patience)
	w := worldOf(ts)
	for w.count(args[0])-w.before[args[0]] < want {
		select {
		case <-look.C:
		case <-late:
			ts.Fatalf("fewer than %d calls of %s", want, args[0])
		}
	}
}

func (w *world) count(name string) int {
	if name != "upload" {
		return w.vendor.Counts()[name]
	}
	n := 0
	for _, e := range w.proxy.Log() {
		if e.Method == "PUT" && upload().MatchString(e.Path) {
			n++
		}
	}
	return n
}

// cmdStored checks how many recordings' files and manifests lie in the bucket,
// and that no upload is open:
//
//	stored FILES MANIFESTS
func cmdStored(ts *testscript.TestScript, _ bool, args []string) {
	c, err := s3server.Truth(context.Background(), store.Client(), worldOf(ts).bucket)
	ts.Check(err)
	files, manifests := 0, 0
	for _, o := range c.Objects {
		if strings.HasPrefix(o.Key, "manifests/") {
			manifests++
		} else {
			files++
		}
	}
	if got := fmt.Sprint(files, manifests); got != strings.Join(args, " ") || len(c.Uploads) > 0 {
		ts.Fatalf("files and manifests %s, want %s; uploads %+v", got, args, c.Uploads)
	}
}

// cmdSound opens the state and lets it check itself.
func cmdSound(ts *testscript.TestScript, _ bool, _ []string) {
	st, err := bolt.Open(context.Background(), ts.MkAbs("state.db"), bolt.Options{Clock: time.Now, Logger: zap.NewNop()})
	ts.Check(err)
	defer func() { _ = st.Close() }()
	ts.Check(st.Check(context.Background(), func(p string) { err = errors.Join(err, errors.New(p)) }))
	ts.Check(err)
}

// cmdExits runs a command and checks its exit code:
//
//	exits CODE COMMAND ARG…
func cmdExits(ts *testscript.TestScript, _ bool, args []string) {
	ts.Logf("[%s]", strings.Join(args[1:], " "))
	checkCode(ts, ts.Exec(args[1], args[2:]...), args[0])
}

func checkCode(ts *testscript.TestScript, err error, want string) {
	code := 0
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		code = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if strconv.Itoa(code) != want {
		ts.Fatalf("exit code %d, want %s", code, want)
	}
}

// cmdNormal writes a file, or stdout or stderr, with all that differs between
// two runs replaced:
//
//	normal FILE TO
func cmdNormal(ts *testscript.TestScript, _ bool, args []string) {
	w := worldOf(ts)
	text := ts.ReadFile(args[0])
	for _, r := range []struct{ from, to string }{
		{`20[2-9]\d-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z`, "TIME"},
		{`\((in )?(\d+[dhms])+( ago)?\)`, "(SPAN)"},
		{`\b[0-9a-f]{64}\b`, "SHA256"},
		{`\b[0-9a-f]{16}\b`, "FILE"},
		{`[A-Za-z0-9+/]{11}=`, "CRC"},
		{`\\?"[0-9a-f]{32}(-\d+)?\\?"`, "ETAG"},
		{`127\.0\.0\.1:\d+`, "HOST"},
		{regexp.QuoteMeta(ts.MkAbs(".")), "$WORK"},
		{`\b` + w.bucket + `\b`, "BUCKET"},
	} {
		text = regexp.MustCompile(r.from).ReplaceAllString(text, strings.ReplaceAll(r.to, "$", "$$"))
	}
	text = regexp.MustCompile(`  +`).ReplaceAllString(text, "  ") // columns depend on what was replaced
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), []byte(text), 0o600))
}
