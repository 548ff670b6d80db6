package main

import (
	"bytes"
	"context"
	"io"
	"os"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/rogpeppe/go-internal/testscript"

	"archiver/internal/sandbox/s3server"
	"archiver/internal/sandbox/vendorsim"
)

// cmdConference makes a running conference known:
//
//	conference TENANT KEY
func cmdConference(ts *testscript.TestScript, _ bool, args []string) {
	worldOf(ts).vendor.AddConference(vendorsim.Conference{Key: args[1], Tenant: args[0], EntID: 52, Started: true})
}

// cmdSpoil changes the last byte of an object, cuts it off, or removes the object; KEY is a part of
// its key that no other has. Nothing else than its content and what follows
// from it differs:
//
//	spoil change|shorten|remove KEY
func cmdSpoil(ts *testscript.TestScript, _ bool, args []string) {
	ctx, bucket, key := context.Background(), aws.String(worldOf(ts).bucket), aws.String(object(ts, args[1]))
	if args[0] == "remove" {
		_, err := store.Client().DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: bucket, Key: key})
		ts.Check(err)
		return
	}
	o, err := store.Client().GetObject(ctx, &s3.GetObjectInput{Bucket: bucket, Key: key})
	ts.Check(err)
	b, err := io.ReadAll(o.Body)
	ts.Check(err)
	if args[0] == "shorten" {
		b = b[:len(b)-1]
	} else {
		b[len(b)-1] ^= 1
	}
	_, err = store.Client().PutObject(ctx, &s3.PutObjectInput{
		Bucket: bucket, Key: key, Body: bytes.NewReader(b), Metadata: o.Metadata, ContentType: o.ContentType,
	})
	ts.Check(err)
}

// object is the key that has part in it.
func object(ts *testscript.TestScript, part string) string {
	c, err := s3server.Truth(context.Background(), store.Client(), worldOf(ts).bucket)
	ts.Check(err)
	found := ""
	for _, o := range c.Objects {
		if strings.Contains(o.Key, part) {
			if found != "" {
				ts.Fatalf("both %s and %s have %s in it", found, o.Key, part)
			}
			found = o.Key
		}
	}
	if found == "" {
		ts.Fatalf("no object has %s in its key", part)
	}
	return found
}

// cmdMode checks the permissions of a file:
//
//	mode FILE -rw-r--r--
func cmdMode(ts *testscript.TestScript, _ bool, args []string) {
	info, err := os.Stat(ts.MkAbs(args[0]))
	ts.Check(err)
	if got := info.Mode().Perm().String(); got != args[1] {
		ts.Fatalf("%s has mode %s, want %s", args[0], got, args[1])
	}
}

// cmdSized checks the size of a file:
//
//	sized FILE BYTES
func cmdSized(ts *testscript.TestScript, _ bool, args []string) {
	info, err := os.Stat(ts.MkAbs(args[0]))
	ts.Check(err)
	if got := strconv.FormatInt(info.Size(), 10); got != args[1] {
		ts.Fatalf("%s has %s bytes, want %s", args[0], got, args[1])
	}
}

// cmdFiles checks how many files, hidden ones too, a directory has:
//
//	files DIR N
func cmdFiles(ts *testscript.TestScript, _ bool, args []string) {
	all, err := os.ReadDir(ts.MkAbs(args[0]))
	ts.Check(err)
	if strconv.Itoa(len(all)) != args[1] {
		ts.Fatalf("%s has %v, want %s", args[0], all, args[1])
	}
}

// cmdSed writes a file with one text replaced by another:
//
//	sed OLD NEW FROM TO
func cmdSed(ts *testscript.TestScript, _ bool, args []string) {
	text := ts.ReadFile(args[2])
	if !strings.Contains(text, args[0]) {
		ts.Fatalf("%s has no %s", args[2], args[0])
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[3]), []byte(strings.ReplaceAll(text, args[0], args[1])), 0o600))
}
