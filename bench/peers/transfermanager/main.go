// Command transfermanager is the AWS SDK's own way of doing the main job: a GET
// of the source piped into the upload of feature/s3/transfermanager. It is a
// module of its own, so that the product's go.mod does not know it.
//
// It keeps no state, hashes nothing for a proof later and resumes nothing;
// CRC64NVME is asked for, since that is what the store at the other end checks.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"os"
	"os/signal"

	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/feature/s3/transfermanager"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Args[1:])
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "transfermanager:", err)
		os.Exit(1) //nolint:forbidigo // main
	}
}

func run(ctx context.Context, args []string) (err error) {
	flags := flag.NewFlagSet("transfermanager", flag.ContinueOnError)
	source := flags.String("source", "", "`URL` to read")
	endpoint := flags.String("endpoint", "", "`URL` of the store")
	bucket := flags.String("bucket", "bench", "where to write")
	key := flags.String("key", "file", "where to write")
	part := flags.Int64("part", 8<<20, "part size in `bytes`")
	streams := flags.Int("streams", 4, "parts at once")
	if err := flags.Parse(args); err != nil {
		return err
	}
	client := s3.New(s3.Options{
		BaseEndpoint: endpoint, Region: "us-east-1", UsePathStyle: true,
		Credentials: credentials.NewStaticCredentialsProvider("bench", "benchbench", ""),
	})
	uploads := transfermanager.New(client, func(o *transfermanager.Options) {
		o.PartSizeBytes, o.Concurrency, o.ChecksumAlgorithm = *part, *streams, "CRC64NVME"
	})
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, *source, nil)
	if err != nil {
		return err
	}
	resp, err := (&http.Client{}).Do(req)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, resp.Body.Close()) }()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("source: %s", resp.Status)
	}
	_, err = uploads.UploadObject(ctx, &transfermanager.UploadObjectInput{Bucket: bucket, Key: key, Body: resp.Body})
	return err
}
