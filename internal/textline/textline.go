// Package textline reads lists that people and programs send, a line at a
// time, without being brought down by a line that never ends.
package textline

import (
	"bufio"
	"bytes"
	"errors"
)

// kept is how much of a line that is too long is returned, in bytes.
const kept = 64

// Read returns the next line with its end, good until the next call. Of a line
// that does not fit into br's buffer it reads all, and returns its first 64
// bytes and long. io.EOF comes with what stands behind the last line's end, if
// anything; other errors are the reader's.
func Read(br *bufio.Reader) (line []byte, long bool, err error) {
	line, err = br.ReadSlice('\n')
	if !errors.Is(err, bufio.ErrBufferFull) {
		return line, false, err
	}
	line = bytes.Clone(line[:min(len(line), kept)])
	for errors.Is(err, bufio.ErrBufferFull) {
		_, err = br.ReadSlice('\n')
	}
	return line, true, err
}
