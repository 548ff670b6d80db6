package main

import (
	"io"
	"os"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"archiver/internal/config"
)

// logs is a logger and what of it can change.
type logs struct {
	*zap.Logger
	level zap.AtomicLevel
	done  func() // gives back the standard library's log
}

// newLogger writes to w as the configuration says. The standard library's log
// is taken over until done: net/http prints bytes of servers there, which
// belong on the debug level and nowhere else.
func newLogger(o config.Log, w io.Writer, terminal bool) (logs, error) {
	level, err := zap.ParseAtomicLevel(o.Level)
	if err != nil {
		return logs{}, err
	}
	e := zapcore.EncoderConfig{
		TimeKey: "ts", LevelKey: "level", MessageKey: "msg", NameKey: "logger", StacktraceKey: zapcore.OmitKey,
		EncodeTime: utcTime, EncodeLevel: zapcore.LowercaseLevelEncoder, EncodeDuration: zapcore.StringDurationEncoder,
	}
	enc := zapcore.NewJSONEncoder(e)
	if o.Format == "console" || o.Format == "auto" && terminal {
		enc = zapcore.NewConsoleEncoder(e)
	}
	log := zap.New(zapcore.NewCore(enc, zapcore.Lock(zapcore.AddSync(w)), level))
	done, err := zap.RedirectStdLogAt(log, zapcore.DebugLevel)
	if err != nil {
		return logs{}, err
	}
	return logs{Logger: log, level: level, done: done}, nil
}

func utcTime(t time.Time, enc zapcore.PrimitiveArrayEncoder) {
	enc.AppendString(t.UTC().Format(time.RFC3339Nano))
}

// isTerminal reports whether a person is likely to read along.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
