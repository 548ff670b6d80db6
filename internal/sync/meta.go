package sync

import "strings"

// metaValue percent-encodes what a metadata value cannot carry: everything but
// printable ASCII, and the percent sign itself. Blanks at the ends are encoded
// too, since HTTP drops them.
func metaValue(s string) string {
	const hex = "0123456789ABCDEF"
	var b strings.Builder
	for i := range len(s) {
		c := s[i]
		edge := c == ' ' && (i == 0 || i == len(s)-1)
		if c < ' ' || c > '~' || c == '%' || edge {
			b.WriteByte('%')
			b.WriteByte(hex[c>>4])
			b.WriteByte(hex[c&15])
			continue
		}
		b.WriteByte(c)
	}
	return b.String()
}
