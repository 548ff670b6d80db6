package meetingapi

import (
	"encoding/base64"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Expiry returns when a presigned URL expires, in UTC, where one of these
// signatures is recognisable; the earliest if there are several:
//
//   - Tencent COS's old sign=, base64 of a 20 byte HMAC and then
//     a=…&e=EXPIRY&t=SIGNED&…, raw or URL-escaped (the vendor's document);
//   - COS's q-sign-time=START;END and q-key-time;
//   - X-Amz-Date with X-Amz-Expires, and the same under another store's name
//     (X-Goog-, x-oss-, X-Obs-);
//   - Expires= in Unix seconds (S3 version 2, OSS version 1).
//
// It is a hint for refreshing in time, never a proof that a URL still works.
func Expiry(rawURL string) (time.Time, bool) {
	rawURL, _, _ = strings.Cut(rawURL, "#")
	_, query, _ := strings.Cut(rawURL, "?")
	var (
		found   time.Time
		dates   = map[string]time.Time{}
		seconds = map[string]int64{}
	)
	consider := func(t time.Time) {
		if !t.IsZero() && (found.IsZero() || t.Before(found)) {
			found = t
		}
	}
	for pair := range strings.SplitSeq(query, "&") {
		name, value, _ := strings.Cut(pair, "=")
		name, value = strings.ToLower(unescape(name)), unescape(value)
		switch {
		case name == "sign":
			consider(tencentSign(value))
		case name == "q-sign-time" || name == "q-key-time":
			_, end, _ := strings.Cut(value, ";")
			consider(unix(end))
		case name == "expires":
			consider(unix(value))
		case strings.HasPrefix(name, "x-") && strings.HasSuffix(name, "-date"):
			if t, err := time.Parse("20060102T150405Z", value); err == nil {
				dates[strings.TrimSuffix(name, "-date")] = t
			}
		case strings.HasPrefix(name, "x-") && strings.HasSuffix(name, "-expires"):
			if n, err := strconv.ParseInt(value, 10, 32); err == nil && n > 0 {
				seconds[strings.TrimSuffix(name, "-expires")] = n
			}
		}
	}
	for store, t := range dates {
		if n, ok := seconds[store]; ok {
			consider(t.Add(time.Duration(n) * time.Second))
		}
	}
	return found, !found.IsZero()
}

// unescape undoes percent-encoding but leaves "+", which base64 needs.
func unescape(s string) string {
	if u, err := url.PathUnescape(s); err == nil {
		return u
	}
	return s
}

// unix reads Unix seconds from 2001 on; what is less is a duration or a zero
// that stands for no expiry.
func unix(s string) time.Time {
	const lastSecond = 253402300799 // of the year 9999, the last that RFC 3339 can write
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n < 1e9 || n > lastSecond {
		return time.Time{}
	}
	return time.Unix(n, 0).UTC()
}

// tencentSign reads the expiry of COS's old signature.
func tencentSign(sign string) time.Time {
	const hmac = 20
	sign = strings.TrimRight(strings.ReplaceAll(sign, " ", "+"), "=") // a form decoder made blanks of pluses
	plain, err := base64.RawStdEncoding.DecodeString(sign)
	if err != nil {
		plain, err = base64.RawURLEncoding.DecodeString(sign)
	}
	if err != nil || len(plain) <= hmac {
		return time.Time{}
	}
	for pair := range strings.SplitSeq(string(plain[hmac:]), "&") {
		if name, value, _ := strings.Cut(pair, "="); name == "e" {
			return unix(value)
		}
	}
	return time.Time{}
}
