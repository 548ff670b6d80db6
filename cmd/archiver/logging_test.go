package main

import (
	"bytes"
	"encoding/json"
	"log"
	"regexp"
	"testing"
	"time"

	"go.uber.org/zap"

	"archiver/internal/config"
)

func TestLogger(t *testing.T) {
	var out bytes.Buffer
	logger, err := newLogger(config.Log{Level: "info", Format: "auto"}, &out, false)
	if err != nil {
		t.Fatal(err)
	}
	logger.Info("hello", zap.String("tenant", "acme"), zap.Duration("grace", 90*time.Second))
	logger.Debug("not said")
	log.Print("bytes of a server") // what net/http does
	logger.done()
	var line map[string]string
	if err := json.Unmarshal(out.Bytes(), &line); err != nil {
		t.Fatalf("%v: %s", err, out.Bytes())
	}
	if ts, err := time.Parse(time.RFC3339Nano, line["ts"]); err != nil || ts.Location() != time.UTC {
		t.Errorf("ts %s: %v", line["ts"], err)
	}
	delete(line, "ts")
	want := map[string]string{"level": "info", "msg": "hello", "tenant": "acme", "grace": "1m30s"}
	for k, v := range want {
		if line[k] != v {
			t.Errorf("%s is %q, want %q", k, line[k], v)
		}
	}
}

func TestLoggerConsoleAndDebug(t *testing.T) {
	var out bytes.Buffer
	logger, err := newLogger(config.Log{Level: "debug", Format: "console"}, &out, false)
	if err != nil {
		t.Fatal(err)
	}
	log.Print("bytes of a server")
	logger.done()
	logger.Warn("careful")
	if !regexp.MustCompile(`^\S+Z\tdebug\tbytes of a server\n\S+Z\twarn\tcareful\n$`).Match(out.Bytes()) {
		t.Errorf("%s", out.Bytes())
	}
	if _, err := newLogger(config.Log{Level: "loud"}, &out, false); err == nil {
		t.Error("an unknown level")
	}
}
