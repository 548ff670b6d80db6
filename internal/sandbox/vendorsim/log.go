package vendorsim

import (
	"maps"
	"net/http"
	"slices"
	"sync"
	"time"
)

// Call is one request as the vendor saw it. Secrets are not kept: of the auth
// header only whether it was there and whose it was.
type Call struct {
	Seq       int // from 1, in the order of arrival
	Time      time.Time
	Name      string // "getRecords" and so on, or "download"
	Method    string
	RecordID  string // asked for, or owner of the downloaded file
	Conf      string // conferenceKey, of the four calls that have one
	Origin    string // getRecords' optional member
	HasAuth   bool   // an auth header came along; never right for a download
	Tenant    string // whose auth it was, "" if nobody's
	Path      string
	RawQuery  string      // of a download, byte for byte
	Range     string      // of a download
	Header    http.Header // of a download: the conditions, Accept-Encoding and Referer
	Status    int         // HTTP status that was sent, 0 if none was
	Code      string      // the envelope's code
	Bytes     int64       // of the body, counted before they are handed to the network
	Effective bool        // an API call changed the world (also where its reply was lost)
}

// callLog keeps entries by pointer while they run.
type callLog struct {
	onCall  func(Call)
	running sync.WaitGroup

	mu     sync.Mutex
	calls  []*Call
	byName map[string]int
}

// begin enters c at the request's arrival; the entry may only be changed by
// update afterwards.
func (l *callLog) begin(c Call) *Call {
	l.mu.Lock()
	defer l.mu.Unlock()
	c.Seq = len(l.calls) + 1
	l.calls = append(l.calls, &c)
	l.byName[c.Name]++
	return &c
}

func (l *callLog) update(c *Call, change func(*Call)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	change(c)
}

// tell gives the finished entry to the hook, outside of the lock.
func (l *callLog) tell(c *Call) {
	if l.onCall == nil {
		return
	}
	l.mu.Lock()
	done := *c
	l.mu.Unlock()
	l.onCall(done)
}

// Calls returns every request so far in the order of arrival. A request under
// way is in it as far as it has come; one whose reply has been read by the
// client is complete, bytes included.
func (s *Server) Calls() []Call {
	s.log.mu.Lock()
	defer s.log.mu.Unlock()
	out := make([]Call, len(s.log.calls))
	for i, c := range s.log.calls {
		out[i] = *c
	}
	return out
}

// CallsOf returns those of one name, such as "delRecordFile" or "download".
func (s *Server) CallsOf(name string) []Call {
	return slices.DeleteFunc(s.Calls(), func(c Call) bool { return c.Name != name })
}

// Counts returns how many requests of each name arrived.
func (s *Server) Counts() map[string]int {
	s.log.mu.Lock()
	defer s.log.mu.Unlock()
	return maps.Clone(s.log.byName)
}
