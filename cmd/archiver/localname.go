package main

import (
	"cmp"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"unicode"
	"unicode/utf8"
)

// longestName is how many bytes a file name may have on common file systems.
const longestName = 255

// localNames gives each file a name here. Files of one name all get their id
// into it, so that a name does not depend on what else is downloaded; names
// count as one where a file system may not tell upper from lower case.
func localNames(files []wantedFile) {
	seen := map[string]int{}
	for i, f := range files {
		files[i].name = localName(f.Filename, f.FileID, "")
		seen[strings.ToLower(files[i].name)]++
	}
	for i, f := range files {
		if seen[strings.ToLower(f.name)] > 1 {
			files[i].name = localName(f.Filename, f.FileID, "~"+f.FileID)
		}
	}
}

// localName makes one element of a path out of a name that comes from
// elsewhere: no separators, nothing hidden, nothing that a command would take
// for a flag, no control characters. mark goes before the extension. id stands
// in for an empty name.
func localName(filename, id, mark string) string {
	s := strings.Map(func(r rune) rune {
		switch {
		case r == '/' || r == '\\' || r == ':' || r == utf8.RuneError:
			return '_'
		case unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r):
			return '_'
		}
		return r
	}, filename)
	s = cmp.Or(s, id)
	if strings.ContainsRune(".-~", rune(s[0])) {
		s = "_" + s[1:]
	}
	ext := filepath.Ext(s)
	if len(ext) > longestName/2 {
		ext = ""
	}
	stem := strings.TrimSuffix(s, ext)
	for room := longestName - len(mark) - len(ext); len(stem) > room; {
		_, size := utf8.DecodeLastRuneInString(stem)
		stem = stem[:len(stem)-size]
	}
	return stem + mark + ext
}

// umask is what new files of this process may not be given. It can only be
// read by setting it.
func umask() os.FileMode {
	old := syscall.Umask(0o077)
	syscall.Umask(old)
	return os.FileMode(old) &^ 0o7000
}
