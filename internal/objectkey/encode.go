package objectkey

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"unicode"
	"unicode/utf8"
)

// MaxBytes is the length that S3 allows for a key, in bytes of UTF-8.
const MaxBytes = 1024

// maxID is how many bytes of a file id go into a cut key as they are. A longer
// one is replaced by a hash, so that there is always room for the rest.
const maxID = 128

// maxExt is how many bytes behind the last dot count as an extension where a
// key has to be cut. What is longer is part of the name.
const maxExt = 32

const upperHex = "0123456789ABCDEF"

// appendValue appends the safe form of a value to dst, which holds the key so
// far.
func appendValue(dst []byte, value string) []byte {
	switch value {
	case "":
		return append(dst, '_')
	case "_":
		return append(dst, "%5F"...)
	}
	for i := 0; i < len(value); {
		r, size := utf8.DecodeRuneInString(value[i:])
		if r == '.' && dotUnsafe(dst, value[i+1:]) || r != '.' && unsafe(r, size) {
			for _, c := range []byte(value[i : i+size]) {
				dst = append(dst, '%', upperHex[c>>4], upperHex[c&0xF])
			}
		} else {
			dst = append(dst, value[i:i+size]...)
		}
		i += size
	}
	return dst
}

// dotUnsafe says whether a dot between before and after could become part of
// a segment "." or "..", whatever the template puts around the value.
func dotUnsafe(before []byte, after string) bool {
	return after == "" || after[0] == '.' || len(before) > 0 && before[len(before)-1] == '.'
}

func unsafe(r rune, size int) bool {
	switch {
	case r == utf8.RuneError && size == 1: // not UTF-8
		return true
	case r == '/', r == '\\', r == '%':
		return true
	case r < utf8.RuneSelf:
		return r < ' ' || r == 0x7F
	case unicode.In(r, unicode.Cc, unicode.Zl, unicode.Zp):
		return true
	default: // the noncharacters: U+FDD0 to U+FDEF, and the last two of each plane
		return r >= 0xFDD0 && r <= 0xFDEF || r&0xFFFE == 0xFFFE
	}
}

// WithFileID returns key with "~" and the file id before its extension, which
// is where a file goes whose own key is taken: "a/b.mp4" and "0123" give
// "a/b~0123.mp4". The id is made safe like any value. The result is at most
// MaxBytes long, keeps the extension, and is never key itself.
func WithFileID(key, fileID string) string {
	suffix := idSuffix(key, fileID)
	out := cut(key, suffix)
	if out == key {
		// key was cut already and ends in this very id
		out = cut(key, suffix+"~")
	}
	return out
}

// idSuffix returns what makes a cut key unique.
func idSuffix(key, fileID string) string {
	id := string(appendValue(nil, fileID))
	if fileID == "" || len(id) > maxID {
		sum := sha256.Sum256([]byte(key + "\x00" + fileID))
		id = hex.EncodeToString(sum[:16])
	}
	return "~" + id
}

// cut puts suffix before the extension of key and shortens what stands before
// it until all of it fits.
func cut(key, suffix string) string {
	name := key[strings.LastIndexByte(key, '/')+1:]
	stem, ext := key, ""
	if i := strings.LastIndexByte(name, '.'); i > 0 && len(name)-i-1 <= maxExt {
		ext = name[i:]
		stem = key[:len(key)-len(ext)]
	}
	if room := MaxBytes - len(suffix) - len(ext); len(stem) > room {
		stem = stem[:boundary(stem, room)]
	}
	return stem + suffix + ext
}

// boundary returns the last place at or before n where s can be cut without
// splitting a character or a %XX escape.
func boundary(s string, n int) int {
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	if i := strings.LastIndexByte(s[max(0, n-2):n], '%'); i >= 0 {
		n = max(0, n-2) + i
	}
	return n
}

// Ext returns what stands behind the last dot of a file name, in the case it
// is written in: "mp4" for "1866_094309.mp4". A name without a dot, or whose
// only dot is its first or last character, has none.
func Ext(filename string) string {
	i := strings.LastIndexByte(filename, '.')
	if i <= 0 || strings.ContainsAny(filename[i:], `/\`) {
		return ""
	}
	return filename[i+1:]
}
