package config

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

func TestSecretIsNeverShown(t *testing.T) {
	s := NewSecret("hunter2")
	holder := struct {
		Token  Secret
		Tokens []Secret
		hidden Secret
		Named  map[string]Secret
	}{s, []Secret{s}, s, map[string]Secret{"a": s}}
	var shown []string
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d", "%T"} {
		shown = append(shown, fmt.Sprintf(verb, s), fmt.Sprintf(verb, &s), fmt.Sprintf(verb, holder), fmt.Sprintf(verb, &holder))
	}
	asJSON, err := json.Marshal(holder)
	if err != nil {
		t.Fatal(err)
	}
	asYAML, err := yaml.Marshal(holder)
	if err != nil {
		t.Fatal(err)
	}
	entry, err := zapcore.NewJSONEncoder(zapcore.EncoderConfig{}).EncodeEntry(zapcore.Entry{},
		[]zapcore.Field{zap.Any("any", s), zap.Any("holder", holder), zap.Stringer("stringer", s), zap.Reflect("reflect", s)})
	if err != nil {
		t.Fatal(err)
	}
	shown = append(shown, string(asJSON), string(asYAML), entry.String(), fmt.Errorf("wrapped: %v", s).Error())
	for _, text := range shown {
		if strings.Contains(text, "hunter2") || strings.Contains(text, fmt.Sprintf("%x", "hunter2")) {
			t.Errorf("shown: %s", text)
		}
	}
	if got := fmt.Sprintf("%s|%v|%#v|%q|%s", s, s, s, s, Secret{}); got != "<secret>|<secret>|<secret>|<secret>|" {
		t.Errorf("got %s", got)
	}
	if v, err := s.Reveal(); v != "hunter2" || err != nil || s.IsZero() {
		t.Errorf("Reveal() = %q, %v", v, err)
	}
	if v, err := (Secret{}).Reveal(); v != "" || err != nil || !(Secret{}).IsZero() || !NewSecret("").IsZero() {
		t.Errorf("zero: %q, %v", v, err)
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// oneTenant writes a configuration with these lines for its tenant.
func oneTenant(t *testing.T, lines string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "archiver.yaml")
	write(t, file, "tenants: {acme: {api_url: 'https://x.example.com', "+lines+"}}\nstorage: {bucket: bucket}\n")
	return file
}

func header(t *testing.T, c *Config) string {
	t.Helper()
	h, err := c.Tenants["acme"].AuthHeader()
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// replace puts another file with this time in the place of one.
func replace(t *testing.T, file, text string, at time.Time) {
	t.Helper()
	write(t, file+".new", text)
	if err := os.Chtimes(file+".new", at, at); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(file+".new", file); err != nil {
		t.Fatal(err)
	}
}

func TestSecretRotation(t *testing.T) {
	config := oneTenant(t, "auth_file: key")
	file := filepath.Join(filepath.Dir(config), "key")
	write(t, file, "first\r\n")
	c, err := Load(config, environment)
	if err != nil {
		t.Fatal(err)
	}
	if got := header(t, c); got != "first" {
		t.Errorf("got %q", got)
	}

	// written in place, same length, within the file system's clock tick
	write(t, file, "other\r\n")
	if got := header(t, c); got != "other" {
		t.Errorf("written in place: got %q", got)
	}

	// replaced, as systemd and Kubernetes do, by a file of the same size and time
	stamp := time.Now().Add(-time.Hour)
	replace(t, file, "third", stamp)
	if got := header(t, c); got != "third" {
		t.Errorf("replaced: got %q", got)
	}
	replace(t, file, "forth", stamp)
	if got := header(t, c); got != "forth" {
		t.Errorf("replaced within one tick: got %q", got)
	}

	// an old file that hasn't changed is not read again
	if err := os.WriteFile(file, []byte("fifth"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(file, stamp, stamp); err != nil {
		t.Fatal(err)
	}
	if got := header(t, c); got != "forth" {
		t.Errorf("unchanged by its looks: got %q", got)
	}
}

// A rotation that goes wrong is an error until it is put right.
func TestSecretRotatedWrongly(t *testing.T) {
	config := oneTenant(t, "auth_file: key")
	file := filepath.Join(filepath.Dir(config), "key")
	write(t, file, "first")
	c, err := Load(config, environment)
	if err != nil {
		t.Fatal(err)
	}
	stamp := time.Now().Add(-time.Hour)
	for text, want := range map[string]string{
		"":                                   " is empty",
		"hunter\n2":                          " holds has spaces around it, control characters or characters beyond ASCII, which a header can't carry",
		strings.Repeat("hunter2", maxSecret): " has more than 65536 bytes",
	} {
		replace(t, file, text, stamp)
		_, err := c.Tenants["acme"].AuthHeader()
		if err == nil || !strings.HasPrefix(err.Error(), "auth of tenant acme: read secret: ") || !strings.HasSuffix(err.Error(), want) || strings.Contains(err.Error(), "hunter") {
			t.Errorf("%.20q: %v, want …%s", text, err, want)
		}
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Tenants["acme"].AuthHeader(); err == nil {
		t.Error("a file that is gone gives no error")
	}
	replace(t, file, "second", stamp)
	if got := header(t, c); got != "second" {
		t.Errorf("there again: got %q", got)
	}
}

func TestCredentialsDirectory(t *testing.T) {
	config := oneTenant(t, "auth_file: key")
	credentials := t.TempDir()
	write(t, filepath.Join(filepath.Dir(config), "key"), "beside")
	env := func(name string) (string, bool) { return credentials, name == "CREDENTIALS_DIRECTORY" }
	load := func() string {
		c, err := Load(config, env)
		if err != nil {
			t.Fatal(err)
		}
		return header(t, c)
	}
	if got := load(); got != "beside" {
		t.Errorf("without a credential: got %q", got)
	}
	write(t, filepath.Join(credentials, "key"), "credential")
	if got := load(); got != "credential" {
		t.Errorf("with a credential: got %q", got)
	}
}

func TestAuthForms(t *testing.T) {
	env := func(name string) (string, bool) { return "${NOT_AGAIN}", name == "VAR" }
	for lines, want := range map[string]string{
		`auth: "Bearer x"`: "Bearer x",
		`auth: 800`:        "800",
		`auth: "a${VAR}b"`: "a${NOT_AGAIN}b",
		`auth: "$${VAR}"`:  "${VAR}",
		`auth: "a$b"`:      "a$b",
		`api_id: "{api_key}", api_key: k, auth_format: "{api_id}:{api_key}"`: "{api_key}:k",
	} {
		c, err := Load(oneTenant(t, lines), env)
		if err != nil {
			t.Errorf("%s: %v", lines, err)
			continue
		}
		if got := header(t, c); got != want {
			t.Errorf("%s: got %q, want %q", lines, got, want)
		}
	}
	for lines, want := range map[string]string{
		`auth: "${VAR"`:                 "a variable is written ${NAME}, and ${ itself $${",
		`auth: "${}"`:                   "a variable is written ${NAME}, and ${ itself $${",
		`auth: "${V AR}"`:               "a variable is written ${NAME}, and ${ itself $${",
		`auth: "${NONE}"`:               "the environment variable NONE is not set",
		`auth: true`:                    "is true or false, where text is wanted",
		`api_id: a, api_key: b`:         "auth_format: is required",
		`api_id: a, auth_format: "{a}"`: "is not a format such as",
		`api_key: a, auth_format: "{api_id}{api_key}"`: "api_id: is required",
		`api_id: a, auth_format: "{api_id}{api_key}"`:  "api_key: is required",
	} {
		if _, err := Load(oneTenant(t, lines), env); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want …%s…", lines, err, want)
		}
	}
	if _, err := (&Tenant{Name: "x"}).AuthHeader(); err == nil || err.Error() != "auth of tenant x: is not configured" {
		t.Errorf("a tenant without any: %v", err)
	}
}
