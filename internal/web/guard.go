package web

import (
	"crypto/sha256"
	"crypto/subtle"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// Public serves TCP on the address listen: Host is looked at, browsers of other
// origins are refused, and where there is a token it is asked for.
func (a *API) Public(listen string) http.Handler {
	origin := http.NewCrossOriginProtection()
	origin.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		refuse(w, problem(http.StatusForbidden, "cross_origin", "a web page of another origin may not do this"))
	}))
	next := a.authorized(origin.Handler(http.HandlerFunc(a.route)))
	return patient(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cache-Control", "no-store")
		if !a.knownHost(r.Host, listen) {
			refuse(w, problem(http.StatusMisdirectedRequest, "host",
				"the Host header names neither this machine nor the address that is listened on; add it to http.allowed_hosts"))
			return
		}
		next.ServeHTTP(w, r)
	}), a.stall)
}

// knownHost reports whether a request is meant for us: a page whose name was
// made to point here (DNS rebinding) says another Host.
func (a *API) knownHost(host, listen string) bool {
	name, _ := splitHost(host)
	at, _ := splitHost(listen)
	if isLoopback(name) || name != "" && name == at {
		return true
	}
	return slices.ContainsFunc(a.o.Hosts(), func(allowed string) bool {
		n, port := splitHost(allowed)
		if port == "" {
			return n == name
		}
		_, p := splitHost(host)
		return n == name && p == port
	})
}

// splitHost parts a Host header, in lower case and without brackets; port is ""
// if there is none.
func splitHost(s string) (name, port string) {
	name = s
	if h, p, err := net.SplitHostPort(s); err == nil {
		name, port = h, p
	}
	name = strings.TrimSuffix(strings.TrimPrefix(name, "["), "]")
	if addr, err := netip.ParseAddr(name); err == nil {
		name = addr.Unmap().String()
	}
	return strings.ToLower(strings.TrimSuffix(name, ".")), port
}

func isLoopback(name string) bool {
	addr, err := netip.ParseAddr(name)
	return name == "localhost" || err == nil && addr.IsLoopback()
}

// authorized asks for the token, but of those who only ask for the health.
func (a *API) authorized(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/healthz" || r.URL.Path == "/readyz" {
			next.ServeHTTP(w, r)
			return
		}
		want, err := a.o.Token()
		if err != nil {
			refuse(w, problem(http.StatusServiceUnavailable, "token", "http.token cannot be read: "+err.Error()))
			return
		}
		if want != "" && !same(bearer(r), want) {
			w.Header().Set("WWW-Authenticate", `Bearer realm="archiver"`)
			refuse(w, problem(http.StatusUnauthorized, "unauthorized", "send Authorization: Bearer with the value of http.token"))
			return
		}
		next.ServeHTTP(w, r)
	})
}

func bearer(r *http.Request) string {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return ""
	}
	return strings.TrimSpace(token)
}

// same compares in a time that tells nothing, not even a length.
func same(a, b string) bool {
	x, y := sha256.Sum256([]byte(a)), sha256.Sum256([]byte(b))
	return subtle.ConstantTimeCompare(x[:], y[:]) == 1
}
