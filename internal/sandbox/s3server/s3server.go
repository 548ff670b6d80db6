// Package s3server runs a real S3 server in this process: versitygw on a
// directory. It checks what S3 checks (signatures, CRC64NVME of parts and of
// whole objects, conditions, object lock) and keeps the objects as plain
// files, so that a test can look at what really lies there.
//
//	Options.Dir/data      one directory a bucket, one file an object
//	Options.Dir/meta      metadata, where the file system has no extended attributes
//	Options.Dir/versions  older versions, with Options.Versioning
//
// The gateway works with paths relative to the process's working directory.
// So only one Server exists per process at a time, a second Start waits for
// the first one's Close, and in between os.Getwd is Options.Dir/data: open
// files of your own by absolute path meanwhile.
package s3server

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/versity/versitygw/auth"
	"github.com/versity/versitygw/backend/meta"
	"github.com/versity/versitygw/backend/posix"
	"github.com/versity/versitygw/embedgw"
	"github.com/versity/versitygw/s3api"
)

// Region is the region that the server says it is in.
const Region = "us-east-1"

// Options say what to serve.
type Options struct {
	Dir       string // required; made if it isn't there, kept at Close
	Addr      string // host:port; "" is 127.0.0.1 and a free port
	AccessKey string // "" is "sandbox"
	SecretKey string // "" is "sandbox-secret"
	Buckets   []string
	// Versioning keeps older versions in every bucket. The gateway then
	// prints a line when it starts, which goes to standard error: nothing
	// else may write to os.Stdout while Start runs.
	Versioning bool
	// ObjectLock makes the buckets with object lock; it implies Versioning.
	ObjectLock bool
	// Sidecar keeps metadata in files even where extended attributes work.
	Sidecar bool
}

// Server is a running S3 server.
type Server struct {
	opts     Options
	addr     string
	previous string // working directory
	cancel   context.CancelFunc
	done     chan struct{}
	err      error // of the gateway, once done is closed
	stop     func() error
}

// slot is held by the one Server of this process. It is a global because what
// it guards, the working directory, is one.
var slot = make(chan struct{}, 1)

// Start serves Options.Dir and returns when the server answers and has the
// buckets; those that were there already are kept. It waits for another
// Server of this process to be closed; ctx ends that wait and the start, but
// not the server.
func Start(ctx context.Context, opts Options) (*Server, error) {
	if opts.AccessKey == "" {
		opts.AccessKey = "sandbox"
	}
	if opts.SecretKey == "" {
		opts.SecretKey = "sandbox-secret"
	}
	opts.Versioning = opts.Versioning || opts.ObjectLock
	dir, err := filepath.Abs(opts.Dir)
	if err != nil || opts.Dir == "" {
		return nil, fmt.Errorf("start s3 server in %q: no usable directory: %w", opts.Dir, err)
	}
	opts.Dir = dir
	select {
	case slot <- struct{}{}:
	case <-ctx.Done():
		return nil, fmt.Errorf("start s3 server: another one runs in this process: %w", ctx.Err())
	}
	s := &Server{opts: opts, done: make(chan struct{})}
	s.stop = sync.OnceValue(s.shutdown)
	if err := s.start(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("start s3 server: %w", err), s.Close())
	}
	return s, nil
}

func (s *Server) start(ctx context.Context) error {
	var err error
	if s.previous, err = os.Getwd(); err != nil {
		return err
	}
	if s.addr, err = freeAddr(ctx, s.opts.Addr); err != nil {
		return err
	}
	be, err := s.backend()
	if err != nil {
		return err
	}
	listening := make(chan struct{})
	run, cancel := context.WithCancel(context.WithoutCancel(ctx))
	s.cancel = cancel
	root := auth.Account{Access: s.opts.AccessKey, Secret: s.opts.SecretKey, Role: auth.RoleAdmin}
	cfg := &embedgw.Config{
		RootUserAccess:    s.opts.AccessKey,
		RootUserSecret:    s.opts.SecretKey,
		Region:            Region,
		Ports:             []string{s.addr},
		MaxConnections:    10_000,
		MaxRequests:       10_000,
		MultipartMaxParts: 10_000,
		Quiet:             true,
		KeepAlive:         true,
		IAMService:        auth.NewIAMServiceSingle(root), // the gateway's own choice would be the same and print a line
		S3Options:         []s3api.Option{s3api.WithOnListen(func() { close(listening) })},
	}
	go func() {
		defer close(s.done)
		s.err = embedgw.RunVersityGW(run, be, cfg)
	}()
	select {
	case <-listening:
		return s.makeBuckets(ctx)
	case <-s.done:
		return fmt.Errorf("gateway: %w", s.err)
	case <-ctx.Done():
		return ctx.Err()
	}
}

// backend makes the directories and the gateway's view of them.
func (s *Server) backend() (*posix.Posix, error) {
	data, side, versions := filepath.Join(s.opts.Dir, "data"), filepath.Join(s.opts.Dir, "meta"), filepath.Join(s.opts.Dir, "versions")
	opts := posix.PosixOpts{CopyObjectThreshold: 5 << 30}
	dirs := []string{data}
	if s.opts.Versioning {
		opts.VersioningDir = versions
		dirs = append(dirs, versions)
	}
	for _, d := range dirs {
		if err := os.MkdirAll(d, 0o755); err != nil {
			return nil, err
		}
	}
	var store meta.MetadataStorer = meta.XattrMeta{}
	if s.opts.Sidecar || (meta.XattrMeta{}).Test(data) != nil {
		if err := os.MkdirAll(side, 0o755); err != nil {
			return nil, err
		}
		sc, err := meta.NewSideCar(side)
		if err != nil {
			return nil, err
		}
		store = sc
	}
	if s.opts.Versioning {
		stdout := os.Stdout
		os.Stdout = os.Stderr
		defer func() { os.Stdout = stdout }()
	}
	return posix.New(data, store, opts)
}

// freeAddr fills in what addr leaves open. The port it finds is free at that
// moment: the gateway takes no listener of ours.
func freeAddr(ctx context.Context, addr string) (string, error) {
	if addr == "" {
		addr = "127.0.0.1:0"
	}
	if _, port, err := net.SplitHostPort(addr); err != nil || port != "0" {
		return addr, err
	}
	var lc net.ListenConfig
	ln, err := lc.Listen(ctx, "tcp", addr)
	if err != nil {
		return "", err
	}
	defer func() { _ = ln.Close() }()
	return ln.Addr().String(), nil
}

func (s *Server) makeBuckets(ctx context.Context) error {
	client := s.Client()
	for _, name := range s.opts.Buckets {
		in := &s3.CreateBucketInput{Bucket: &name}
		if s.opts.ObjectLock {
			in.ObjectLockEnabledForBucket = aws.Bool(true)
		}
		_, err := client.CreateBucket(ctx, in)
		if _, mine := errors.AsType[*types.BucketAlreadyOwnedByYou](err); err != nil && !mine {
			return fmt.Errorf("make bucket %s: %w", name, err)
		}
		if !s.opts.Versioning {
			continue
		}
		_, err = client.PutBucketVersioning(ctx, &s3.PutBucketVersioningInput{
			Bucket: &name, VersioningConfiguration: &types.VersioningConfiguration{Status: types.BucketVersioningStatusEnabled},
		})
		if err != nil {
			return fmt.Errorf("enable versioning of %s: %w", name, err)
		}
	}
	return nil
}

// Endpoint returns the server's URL, for path-style requests.
func (s *Server) Endpoint() string { return "http://" + s.addr }

// Keys returns the access key and the secret key of the server's one account.
func (s *Server) Keys() (access, secret string) { return s.opts.AccessKey, s.opts.SecretKey }

// DataDir returns the directory with one directory a bucket.
func (s *Server) DataDir() string { return filepath.Join(s.opts.Dir, "data") }

// Client returns a new client of this server.
func (s *Server) Client() *s3.Client {
	return NewClient(s.Endpoint(), s.opts.AccessKey, s.opts.SecretKey)
}

// Close stops the server, waits for what is under way, at most 10 s, and goes
// back to the earlier working directory; Options.Dir stays as it is. It may be
// called more than once.
func (s *Server) Close() error { return s.stop() }

func (s *Server) shutdown() error {
	defer func() { <-slot }()
	var errs []error
	if s.cancel != nil {
		s.cancel()
		<-s.done
		errs = append(errs, s.err)
	}
	if s.previous != "" {
		errs = append(errs, os.Chdir(s.previous))
	}
	return errors.Join(errs...)
}

// NewClient returns a path-style client of the S3 server at endpoint, which
// sends and demands no checksum that it isn't told to.
func NewClient(endpoint, accessKey, secretKey string) *s3.Client {
	return s3.New(s3.Options{
		BaseEndpoint:               &endpoint,
		Region:                     Region,
		UsePathStyle:               true,
		Credentials:                credentials.NewStaticCredentialsProvider(accessKey, secretKey, ""),
		RequestChecksumCalculation: aws.RequestChecksumCalculationWhenRequired,
		ResponseChecksumValidation: aws.ResponseChecksumValidationWhenRequired,
	})
}
