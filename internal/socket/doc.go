// Package socket is where the commands meet the daemon: archiver.sock, a unix
// socket in the directory of the state file.
//
// The state is held by one process; whoever else wants something of it speaks
// to that process, and the rights of the socket (0660) are the whole
// authorization: who may write there may do what the daemon may do. So the
// socket must never be seen with wider rights, not even for an instant. It is
// made in a directory that only we may enter, gets its mode there, and is then
// renamed to its name; umask, which belongs to the whole process, is left alone.
//
// A socket that nobody answers on is what a killed daemon left, and is replaced.
// One that somebody answers on belongs to another daemon whose state lies in the
// same directory, and anything that is no socket belongs to somebody else: both
// are errors. A lock on the directory keeps two daemons that start at once from
// taking each other's fresh socket for a stale one.
//
// A socket's address has room for 107 bytes. Where the path is longer, the
// directory is opened and the socket named through /proc/self/fd.
package socket
