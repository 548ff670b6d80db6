package config

import (
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	gopath "path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// The checks of single values. Their errors continue the value: `"x" is not…`.

// optional lets "" pass.
func optional(check func(string) error) func(string) error {
	return func(s string) error {
		if s == "" {
			return nil
		}
		return check(s)
	}
}

func notEmpty(s string) error {
	if s == "" {
		return errors.New("is empty")
	}
	return noControls(s)
}

func noControls(s string) error {
	if !utf8.ValidString(s) || strings.ContainsFunc(s, unicode.IsControl) {
		return errors.New("has control characters or isn't UTF-8")
	}
	return nil
}

// isWord accepts one word of visible ASCII.
func isWord(s string) error {
	if s == "" || strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return errors.New("is not a single word")
	}
	return nil
}

func isTenantName(s string) error {
	if !regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,62}$`).MatchString(s) {
		return errors.New("is not a name for a tenant: 1 to 63 of a-z, 0-9, _ and -, the first of them a letter or digit")
	}
	return nil
}

// isRecordID follows the API's rule: 1 to 64 characters without control
// characters.
func isRecordID(s string) error {
	if n := utf8.RuneCountInString(s); n < 1 || n > 64 {
		return errors.New("is not a recordId: it has 1 to 64 characters")
	}
	return noControls(s)
}

// isHeader accepts what may stand in an HTTP header (RFC 9110 section 5.5),
// without the obsolete bytes beyond ASCII.
func isHeader(s string) error {
	if strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r > '~' }) || strings.TrimSpace(s) != s {
		return errors.New("has spaces around it, control characters or characters beyond ASCII, which a header can't carry")
	}
	return nil
}

// isToken accepts a bearer token: one word (RFC 6750 section 2.1).
func isToken(s string) error {
	if isWord(s) != nil {
		return errors.New("has spaces, control characters or characters beyond ASCII, which a bearer token can't have")
	}
	return nil
}

func isAuthFormat(s string) error {
	rest := strings.NewReplacer("{api_id}", "", "{api_key}", "").Replace(s)
	if !strings.Contains(s, "{api_id}") || !strings.Contains(s, "{api_key}") || strings.ContainsAny(rest, "{}") {
		return errors.New(`is not a format such as "{api_id}:{api_key}"; it needs these two, and no others exist`)
	}
	return isHeader(s)
}

// parseURL reads an absolute URL of one of these schemes.
func parseURL(s string, schemes ...string) (*url.URL, error) {
	u, err := url.Parse(s)
	if err != nil || noControls(s) != nil || !slices.Contains(schemes, u.Scheme) || u.Hostname() == "" {
		return nil, fmt.Errorf("is not an URL that begins with %s://", strings.Join(schemes, ":// or "))
	}
	if p := u.Port(); p != "" || strings.HasSuffix(u.Host, ":") {
		if n, err := strconv.ParseUint(p, 10, 16); err != nil || n == 0 {
			return nil, errors.New("has a port that isn't between 1 and 65535")
		}
	}
	return u, nil
}

// isEndpoint accepts the base of URLs: paths are appended to it.
func isEndpoint(s string) error {
	u, err := parseURL(s, "http", "https")
	switch {
	case err != nil:
		return err
	case u.User != nil:
		return errors.New("has a user or password in it; they belong into the keys of their own")
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "" || strings.HasSuffix(s, "#"):
		return errors.New("has a query or a fragment; paths are appended to it")
	case strings.HasSuffix(s, "/"):
		return errors.New("ends with /; write it without")
	}
	return nil
}

func isWebURL(s string) error {
	_, err := parseURL(s, "http", "https")
	return err
}

// isSecretURL is isWebURL for an URL that may not be quoted.
func isSecretURL(s string) error {
	if isWebURL(s) != nil {
		return errors.New("is not an URL that begins with http:// or https://")
	}
	return nil
}

func isProxy(s string) error {
	if s == "environment" {
		return nil
	}
	u, err := parseURL(s, "http", "https", "socks5")
	if err != nil {
		return fmt.Errorf("%w, nor environment", err)
	}
	if strings.Trim(u.Path, "/") != "" || u.RawQuery != "" {
		return errors.New("has a path or a query, which a proxy can't have")
	}
	return nil
}

// isOrigin follows the vendor's document: an URL of at most 128 characters.
func isOrigin(s string) error {
	if utf8.RuneCountInString(s) > 128 {
		return errors.New("has more than the 128 characters that the vendor allows")
	}
	u, err := parseURL(s, "http", "https")
	switch {
	case err != nil:
		return err
	case u.User != nil:
		return errors.New("has a user or password in it, which an origin can't have")
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "" || strings.HasSuffix(s, "#"):
		return errors.New("has a query or a fragment, which an origin can't have")
	}
	return nil
}

// isBucket is wider than Amazon's rules for new buckets: older ones, and other
// stores, have capitals and underscores.
func isBucket(s string) error {
	if !regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{1,254}$`).MatchString(s) || strings.Contains(s, "..") {
		return errors.New("is not the name of a bucket: letters, digits, dots and dashes, without s3:// and path")
	}
	return nil
}

// isTagName and isTagText follow "Categorizing your storage using tags" in
// Amazon S3's user guide.
func isTagName(s string) error {
	if n := utf8.RuneCountInString(s); n < 1 || n > 128 || strings.HasPrefix(strings.ToLower(s), "aws:") {
		return errors.New("is not a name for a tag: 1 to 128 characters and not beginning with aws")
	}
	return noControls(s)
}

func isTagText(s string) error {
	if utf8.RuneCountInString(s) > 256 {
		return errors.New("has more than the 256 characters that a tag may have")
	}
	return noControls(s)
}

func isHost(s string) error {
	host := s
	if h, port, err := net.SplitHostPort(s); err == nil {
		host = h
		if _, err := strconv.ParseUint(port, 10, 16); err != nil {
			return errors.New("has a port that isn't a number up to 65535")
		}
	}
	if _, err := netip.ParseAddr(strings.Trim(host, "[]")); err == nil {
		return nil
	}
	if !regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9_.-]{0,251}[A-Za-z0-9])?$`).MatchString(host) {
		return errors.New("is not a host such as archiver.example.com, with or without :port")
	}
	return nil
}

func isHostGlob(s string) error {
	if _, err := netip.ParseAddr(s); err == nil {
		return nil
	}
	if _, err := gopath.Match(s, ""); err != nil || !regexp.MustCompile(`^[a-z0-9_.*?\[\]!^-]{1,253}$`).MatchString(s) {
		return errors.New("is not a host or a glob such as *.example.com: in lower case, without scheme, port and path")
	}
	return nil
}

func isListen(s string) error {
	host, port, err := net.SplitHostPort(s)
	if err != nil {
		return errors.New("is not an address such as 127.0.0.1:8720")
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return errors.New("has a port that isn't a number up to 65535")
	}
	if _, err := netip.ParseAddr(host); host != "" && err != nil {
		return isHost(host)
	}
	return nil
}

// isLoopback says whether only this machine can reach a listen address.
func isLoopback(listen string) bool {
	host, _, err := net.SplitHostPort(listen)
	if err != nil {
		return false
	}
	addr, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && addr.Unmap().IsLoopback()
}

// isWebhookSecret follows the Standard Webhooks specification: base64 of 24 to
// 64 random bytes, which may stand behind "whsec_".
func isWebhookSecret(s string) error {
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(s, "whsec_"))
	if err != nil || len(key) < 24 || len(key) > 64 {
		return errors.New("is not base64 of 24 to 64 bytes, as Standard Webhooks wants it; openssl rand -base64 32 makes one")
	}
	return nil
}

// events are what a webhook can be told of: what the audit log has of whole
// recordings and of conferences, and files that are at risk.
func events() []string {
	return []string{
		"tracked", "settled", "archived", "redirected", "quarantined", "at_risk", "source_gone", "retried", "accepted", "held", "unheld",
		"deleting", "source_deleted", "deletion_unconfirmed", "deletion_failed", "untracked",
		"record_opening", "record_open", "record_unresolved", "record_refused", "record_closed", "record_close_failed",
		"live_opening", "live_open", "live_unresolved", "live_refused", "live_closed", "live_close_failed",
	}
}

func isEvent(s string) error {
	if !slices.Contains(events(), s) {
		return fmt.Errorf("is not an event; there are %s", strings.Join(events(), ", "))
	}
	return nil
}

// isCAFile accepts a file with at least one PEM certificate.
func isCAFile(path string) error {
	pem, err := readLimited(path, maxFile)
	if err != nil {
		return fmt.Errorf("can't be used: %w", err)
	}
	if !x509.NewCertPool().AppendCertsFromPEM(pem) {
		return fmt.Errorf("can't be used: %s has no PEM certificate", path)
	}
	return nil
}
