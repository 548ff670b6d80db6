package download

import (
	"context"
	"fmt"
	"net/netip"
	"path"
	"slices"
	"syscall"
)

// guardError is an address that may not be connected to.
type guardError struct {
	addr     netip.Addr
	why      string
	loopback bool
}

func (e *guardError) Error() string {
	return fmt.Sprintf("address %s is refused: %s", e.addr, e.why)
}

// hint says what a person can do.
func (e *guardError) hint() string {
	if e.loopback {
		return "set the tenant's allow_loopback: true if its files really are on this machine"
	}
	return "no setting allows this address; set download_hosts to the hosts that the vendor's files come from"
}

// span is a range of addresses that is always refused.
type span struct {
	prefix netip.Prefix
	why    string
}

// refused lists what no configuration allows. fd00:ec2::254 is AWS's metadata
// service, fd20:ce::254 Google's, fd00:c1::a9fe:a9fe Oracle's, 100.100.100.200
// Alibaba's, 168.63.129.16 Azure's host agent, 192.0.0.192 Oracle's older
// one. 64:ff9b:1::/48 (RFC 8215), 2002::/16 (6to4, RFC 7526), 2001::/32
// (Teredo) and ::/96 carry an IPv4 address at a place that depends on the
// network or on a relay that nobody runs any more: refused as a whole.
func refused() []span {
	const meta = "it is a cloud metadata address"
	const wraps = "it hides an IPv4 address"
	return []span{
		{netip.MustParsePrefix("169.254.0.0/16"), "it is link-local, where cloud metadata is served"},
		{netip.MustParsePrefix("fe80::/10"), "it is link-local"},
		{netip.MustParsePrefix("fd00:ec2::254/128"), meta},
		{netip.MustParsePrefix("fd20:ce::254/128"), meta},
		{netip.MustParsePrefix("fd00:c1::a9fe:a9fe/128"), meta},
		{netip.MustParsePrefix("100.100.100.200/32"), meta},
		{netip.MustParsePrefix("168.63.129.16/32"), meta},
		{netip.MustParsePrefix("192.0.0.192/32"), meta},
		{netip.MustParsePrefix("0.0.0.0/8"), "it is unspecified"},
		{netip.MustParsePrefix("::/128"), "it is unspecified"},
		{netip.MustParsePrefix("224.0.0.0/4"), "it is multicast"},
		{netip.MustParsePrefix("ff00::/8"), "it is multicast"},
		{netip.MustParsePrefix("255.255.255.255/32"), "it is broadcast"},
		{netip.MustParsePrefix("64:ff9b:1::/48"), wraps},
		{netip.MustParsePrefix("2002::/16"), wraps},
		{netip.MustParsePrefix("2001::/32"), wraps},
		{netip.MustParsePrefix("::/96"), wraps},
	}
}

const whyLoopback = "it is loopback"

// forbidden reports whether a may not be connected to, and why. An
// IPv4-mapped address and one behind the well-known NAT64 prefix (RFC 6052)
// are judged by the IPv4 address in them; NAT64 itself is needed, because
// hosts on IPv6-only networks reach every IPv4 server through it.
func forbidden(a netip.Addr, allowLoopback bool) (why string, bad bool) {
	a = a.Unmap().WithZone("")
	if !a.IsValid() {
		return "it is not an address", true
	}
	if a.IsLoopback() {
		return whyLoopback, !allowLoopback
	}
	for _, s := range refused() {
		if s.prefix.Contains(a) {
			return s.why, true
		}
	}
	if v4, ok := fromNAT64(a); ok {
		// Loopback behind a translator would be the translator's own.
		if why, bad := forbidden(v4, false); bad {
			return "behind NAT64, " + why, true
		}
	}
	return "", false
}

// fromNAT64 returns the IPv4 address in a, if a lies in 64:ff9b::/96.
func fromNAT64(a netip.Addr) (netip.Addr, bool) {
	if !a.Is6() {
		return netip.Addr{}, false
	}
	b := a.As16()
	if [12]byte(b[:12]) != [12]byte{0x00, 0x64, 0xff, 0x9b} {
		return netip.Addr{}, false
	}
	return netip.AddrFrom4([4]byte(b[12:])), true
}

// judge is forbidden as an error.
func judge(a netip.Addr, allowLoopback bool) error {
	if why, bad := forbidden(a, allowLoopback); bad {
		return &guardError{addr: a, why: why, loopback: why == whyLoopback}
	}
	return nil
}

// guardDial returns the dialer's hook, which sees every address after it was
// resolved and before it is connected to.
func guardDial(allowLoopback bool) func(context.Context, string, string, syscall.RawConn) error {
	return func(_ context.Context, _, address string, _ syscall.RawConn) error {
		ap, err := netip.ParseAddrPort(address)
		if err != nil {
			return &guardError{why: "it is not an address"}
		}
		return judge(ap.Addr(), allowLoopback)
	}
}

// hostAllowed reports whether name (lower case, without port) is in
// download_hosts.
func (c *Client) hostAllowed(name string) bool {
	if len(c.hosts) == 0 {
		return true
	}
	return slices.ContainsFunc(c.hosts, func(glob string) bool {
		ok, err := path.Match(glob, name)
		return ok && err == nil
	})
}

// judgeName resolves name and judges all its addresses: what is handed to a
// proxy is judged here first.
func (c *Client) judgeName(ctx context.Context, name string) error {
	addrs, err := c.resolver.LookupNetIP(ctx, "ip", name)
	if err != nil {
		return err
	}
	for _, a := range addrs {
		if err := judge(a, c.allowLoopback); err != nil {
			return err
		}
	}
	return nil
}
