package web

import (
	"net/http"
	"strconv"
	"strings"
)

// span reads a Range header (RFC 9110 section 14.2): where it begins, how many
// bytes it has, and the status that goes with it. What is not one range of
// bytes is ignored, as the RFC allows, and the whole is sent.
func span(header string, size int64) (from, n int64, status int) {
	unit, spec, ok := strings.Cut(header, "=")
	first, last, dash := strings.Cut(strings.TrimSpace(spec), "-")
	if !ok || !strings.EqualFold(unit, "bytes") || !dash || strings.Contains(spec, ",") {
		return 0, size, http.StatusOK
	}
	a, aok := number(first)
	b, bok := number(last)
	switch {
	case first == "" && bok: // the last b bytes
		if b == 0 || size == 0 {
			return 0, 0, http.StatusRequestedRangeNotSatisfiable
		}
		n = min(b, size)
		return size - n, n, http.StatusPartialContent
	case !aok || last != "" && (!bok || b < a):
		return 0, size, http.StatusOK
	case a >= size:
		return 0, 0, http.StatusRequestedRangeNotSatisfiable
	case last == "":
		b = size - 1
	}
	return a, min(b, size-1) - a + 1, http.StatusPartialContent
}

func number(s string) (int64, bool) {
	n, err := strconv.ParseInt(s, 10, 64)
	return n, err == nil && n >= 0 && s[0] != '+' && s[0] != '-'
}
