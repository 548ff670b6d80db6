package main

import (
	"io"
	"os"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"archiver/internal/config"
)

// newLogger writes to w as the configuration says. done gives back the
// standard library's log, which is taken over: net/http prints bytes of
// servers there, which belong on the debug level and nowhere else.
func newLogger(o config.Log, w io.Writer) (log *zap.Logger, done func(), err error) {
	level, err := zapcore.ParseLevel(o.Level)
	if err != nil {
		return nil, nil, err
	}
	e := zapcore.EncoderConfig{
		TimeKey: "ts", LevelKey: "level", MessageKey: "msg", NameKey: "logger", StacktraceKey: zapcore.OmitKey,
		EncodeTime: utcTime, EncodeLevel: zapcore.LowercaseLevelEncoder, EncodeDuration: zapcore.StringDurationEncoder,
	}
	enc := zapcore.NewJSONEncoder(e)
	if o.Format == "console" || o.Format == "auto" && isTerminal(w) {
		enc = zapcore.NewConsoleEncoder(e)
	}
	log = zap.New(zapcore.NewCore(enc, zapcore.Lock(zapcore.AddSync(w)), level))
	done, err = zap.RedirectStdLogAt(log, zapcore.DebugLevel)
	if err != nil {
		return nil, nil, err
	}
	return log, done, nil
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
