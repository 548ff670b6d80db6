package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"sync"
	"time"
)

// maxSecret is how large a file with a secret may be, in bytes.
const maxSecret = 64 << 10

// hidden is what a secret prints as.
const hidden = "<secret>"

// Secret is a value that must not be shown: it prints and marshals as
// "<secret>" whatever the verb and the encoder, or as "" if it isn't set. It
// may be copied; copies share what was read from a file. The zero value is a
// secret that isn't set.
type Secret struct {
	// A function, because fmt looks through pointers in unexported fields of
	// other structs without asking for their methods, but not into functions.
	reveal func() (string, error) // nil: not set
	path   string                 // of the file it is read from, or ""
}

// NewSecret returns a secret with this value; "" is one that isn't set.
func NewSecret(value string) Secret {
	if value == "" {
		return Secret{}
	}
	return Secret{reveal: func() (string, error) { return value, nil }}
}

// secretFile returns a secret that is read from path when it is needed.
func secretFile(path string, check func(string) error) Secret {
	return Secret{reveal: (&secretSource{path: path, check: check}).reveal, path: path}
}

// IsZero reports whether the secret isn't set. It satisfies the encoders'
// omitzero.
func (s Secret) IsZero() bool { return s.reveal == nil }

// Reveal returns the value, "" if the secret isn't set. A value from a file
// lacks the line break at its end, and is read again when the file's identity,
// size or modification time has changed; the error then names the file, never
// what is in it. It may be called by several goroutines at once.
func (s Secret) Reveal() (string, error) {
	if s.reveal == nil {
		return "", nil
	}
	return s.reveal()
}

// secretSource is a file that holds a secret.
type secretSource struct {
	path  string
	check func(string) error // for what it holds

	mu    sync.Mutex // guards what follows
	value string
	read  fs.FileInfo // of the file when value was read; nil: there is no value
}

func (s *secretSource) reveal() (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	value, stat, err := s.current()
	if err != nil {
		s.value, s.read = "", nil
		return "", fmt.Errorf("read secret: %w", err)
	}
	s.value, s.read = value, stat
	return value, nil
}

// current returns the value that counts now, and the file that it was read
// from.
func (s *secretSource) current() (string, fs.FileInfo, error) {
	stat, err := os.Stat(s.path)
	if err != nil {
		return "", nil, err
	}
	if s.read != nil && unchanged(s.read, stat) {
		return s.value, s.read, nil
	}
	text, err := readLimited(s.path, maxSecret)
	if err != nil {
		return "", nil, err
	}
	value := strings.TrimSuffix(strings.TrimSuffix(string(text), "\n"), "\r")
	if value == "" {
		return "", nil, fmt.Errorf("%s is empty", s.path)
	}
	if err := s.check(value); err != nil {
		return "", nil, fmt.Errorf("what %s holds %w", s.path, err)
	}
	return value, stat, nil
}

// unchanged says whether a file is still the one that was read. A file that
// was written in the same instant as it was read may change again without a
// new time, so a fresh one is never trusted.
func unchanged(read, now fs.FileInfo) bool {
	return os.SameFile(read, now) && read.Size() == now.Size() && read.ModTime().Equal(now.ModTime()) &&
		time.Since(now.ModTime()) > 2*time.Second
}

// String returns "<secret>", or "" if the secret isn't set.
func (s Secret) String() string {
	if s.reveal == nil {
		return ""
	}
	return hidden
}

// GoString is String, for %#v.
func (s Secret) GoString() string { return s.String() }

// Format prints String for every verb.
func (s Secret) Format(f fmt.State, _ rune) {
	// a fmt.State keeps its own error and has nobody to give this one to
	_, _ = f.Write([]byte(s.String()))
}

// MarshalText gives String to encoding/json, encoding/xml and zap.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// MarshalYAML gives String to YAML encoders.
func (s Secret) MarshalYAML() (any, error) { return s.String(), nil }

// Auth is the value of the vendor's auth header: Header as it is, or built
// from the other three.
type Auth struct {
	Header Secret
	APIID  Secret
	APIKey Secret
	Format string // has {api_id} and {api_key}
}

// AuthHeader returns the value of the auth header for the vendor's calls. It
// reads rotated files again, so it is called for every request. The error
// carries no secret.
func (t *Tenant) AuthHeader() (string, error) {
	header, err := t.Auth.build()
	if err != nil {
		return "", fmt.Errorf("auth of tenant %s: %w", t.Name, err)
	}
	return header, nil
}

func (a *Auth) build() (string, error) {
	if !a.Header.IsZero() {
		return a.Header.Reveal()
	}
	id, err := a.APIID.Reveal()
	if err != nil {
		return "", err
	}
	key, err := a.APIKey.Reveal()
	if err != nil {
		return "", err
	}
	if id == "" || key == "" || a.Format == "" {
		return "", errors.New("is not configured")
	}
	return strings.NewReplacer("{api_id}", id, "{api_key}", key).Replace(a.Format), nil
}
