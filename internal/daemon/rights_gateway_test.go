package daemon_test

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/versity/versitygw/auth"
	"github.com/versity/versitygw/backend/meta"
	"github.com/versity/versitygw/backend/posix"
	"github.com/versity/versitygw/embedgw"

	"archiver/internal/sandbox/s3server"
)

// The accounts of the gateway that has two: its owner, and a role that may do
// what a bucket's policy says and nothing else. The store of the other tests
// knows its owner alone, whom no policy holds back.
const (
	ownerKey, ownerSecret = "owner", "owners-secret"
	roleKey, roleSecret   = "archiver", "archivers-secret"
)

const (
	gatewayDir  = "ARCHIVER_RIGHTS_DIR"
	gatewayAddr = "ARCHIVER_RIGHTS_ADDR"
)

// startGateway runs the test that calls it once more, as a process of its own
// that only serves: there is one gateway per process. It returns the gateway's
// URL.
func startGateway(t *testing.T) string {
	t.Helper()
	var lc net.ListenConfig
	ln, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := ln.Addr().String()
	if err := ln.Close(); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$") //nolint:gosec // this very test binary
	cmd.Env = append(os.Environ(), gatewayDir+"="+t.TempDir(), gatewayAddr+"="+addr)
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = stdin.Close() // which ends it
		if err := cmd.Wait(); err != nil {
			t.Errorf("gateway: %v", err)
		}
	})
	url := "http://" + addr
	until(t, "the gateway answers", func() bool {
		_, err := s3server.NewClient(url, ownerKey, ownerSecret).ListBuckets(t.Context(), &s3.ListBucketsInput{})
		return err == nil
	})
	return url
}

// servesGateway is that process: it serves until its standard input ends, and
// reports false in the test process itself.
func servesGateway(t *testing.T) bool {
	t.Helper()
	dir, ok := os.LookupEnv(gatewayDir)
	if !ok {
		return false
	}
	if err := store.Close(); err != nil { // it holds the working directory
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin) // whatever it ends with
		stop()
	}()
	if err := serveGateway(ctx, dir, os.Getenv(gatewayAddr)); err != nil {
		t.Fatal(err)
	}
	return true
}

func serveGateway(ctx context.Context, dir, addr string) error {
	data, side, versions, iam := filepath.Join(dir, "data"), filepath.Join(dir, "meta"), filepath.Join(dir, "versions"), filepath.Join(dir, "iam")
	for _, d := range []string{data, side, versions, iam} {
		if err := os.Mkdir(d, 0o755); err != nil {
			return err
		}
	}
	sidecar, err := meta.NewSideCar(side)
	if err != nil {
		return err
	}
	be, err := posix.New(data, sidecar, posix.PosixOpts{VersioningDir: versions})
	if err != nil {
		return err
	}
	accounts, err := auth.NewInternal(auth.Account{Access: ownerKey, Secret: ownerSecret, Role: auth.RoleAdmin}, iam)
	if err != nil {
		return err
	}
	if err := accounts.CreateAccount(auth.Account{Access: roleKey, Secret: roleSecret, Role: auth.RoleUser}); err != nil {
		return err
	}
	err = embedgw.RunVersityGW(ctx, be, &embedgw.Config{
		RootUserAccess: ownerKey, RootUserSecret: ownerSecret, Region: s3server.Region, Ports: []string{addr},
		MaxConnections: 1000, MaxRequests: 1000, MultipartMaxParts: 10_000, Quiet: true, KeepAlive: true, IAMService: accounts,
	})
	return errors.Join(err, os.Chdir("/")) // out of what is removed
}
