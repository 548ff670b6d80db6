#!/bin/bash
# Builds the Debian package and lives through its life on this machine: install,
# a changed configuration, upgrade, remove, purge. Needs root, Debian, and a
# machine that has no archiver yet; leaves it as it was.
set -euo pipefail
cd "$(dirname "$0")/.."

fail() {
	echo "test-install.sh: $*" >&2
	exit 1
}
[ "$(id -u)" = 0 ] || fail "needs root: it installs a package"
if [ -e /etc/archiver ] || [ -e /var/lib/archiver ] || getent passwd archiver >/dev/null; then
	fail "there is an archiver on this machine already; run this on one to throw away"
fi

work=$(mktemp -d)
leave() {
	dpkg --purge archiver >/dev/null 2>&1 || true
	rm -rf /etc/archiver /var/lib/archiver "$work"
	getent passwd archiver >/dev/null && userdel archiver
	getent group archiver >/dev/null && groupdel archiver
	true
}
trap leave EXIT

# is FILE MODE OWNER:GROUP
is() {
	local got
	got=$(stat -c '%a %U:%G' "$1") || fail "$1 is missing"
	[ "$got" = "$2 $3" ] || fail "$1 is $got, not $2 $3"
}
# exits CODE COMMAND…
exits() {
	local want=$1 got=0
	shift
	"$@" >"$work/out" 2>&1 || got=$?
	[ "$got" = "$want" ] || fail "$* exits with $got, not $want: $(cat "$work/out")"
}

export SOURCE_DATE_EPOCH=1700000000
echo "== build"
VERSION=v0.0.1 packaging/build-deb.sh "$work/1" >/dev/null
VERSION=v0.0.1 packaging/build-deb.sh "$work/again" >/dev/null
VERSION=v0.0.2 packaging/build-deb.sh "$work/2" >/dev/null
cmp "$work"/1/*.deb "$work"/again/*.deb || fail "two builds of the same source differ"

echo "== install"
dpkg -i "$work"/1/*.deb
is /usr/bin/archiver 755 root:root
is /etc/archiver 750 root:archiver
is /etc/archiver/archiver.yaml 640 root:archiver
is /etc/archiver/backfill 750 root:archiver
is /var/lib/archiver 750 archiver:archiver
for f in /usr/lib/systemd/system/archiver{.service,-backfill@.service,-backfill@.timer} /usr/lib/sysusers.d/archiver.conf \
	/usr/share/man/man1/archiver{,-run,-backfill}.1.gz /usr/share/bash-completion/completions/archiver \
	/usr/share/zsh/vendor-completions/_archiver /usr/share/fish/vendor_completions.d/archiver.fish \
	/usr/share/doc/archiver/{README.md,CHANGELOG.md,copyright,docs/contract.md,examples/archiver.yaml}; do
	is "$f" 644 root:root
done
[ ! -e /etc/systemd/system/multi-user.target.wants/archiver.service ] || fail "the installation enabled the service"
archiver version | grep -q '^archiver v0.0.1 ' || fail "archiver version: $(archiver version)"
if ldd /usr/bin/archiver >/dev/null 2>&1; then fail "the binary is not static"; fi
if command -v man >/dev/null; then
	man --warnings -E UTF-8 -l /usr/share/man/man1/archiver-backfill.1.gz 2>"$work/man" | grep -q 'archiver backfill' || fail "man shows nothing"
	[ ! -s "$work/man" ] || fail "man complains: $(cat "$work/man")"
fi
bash -c 'set -e; . /usr/share/bash-completion/completions/archiver; complete -p archiver' >/dev/null || fail "bash does not take the completion"
if command -v systemd-analyze >/dev/null; then
	units=(archiver.service archiver-backfill@night.service archiver-backfill@night.timer)
	systemd-analyze verify "${units[@]}" 2>"$work/verify" || fail "systemd-analyze verify: $(cat "$work/verify")"
	[ ! -s "$work/verify" ] || fail "systemd-analyze verify: $(cat "$work/verify")"
	systemd-analyze security --offline=true --no-pager archiver.service | tail -1
fi

echo "== configure"
exits 2 archiver config check # as it comes it names a variable that is not there
grep -q ACME_AUTH "$work/out" || fail "config check does not say what is missing: $(cat "$work/out")"
exits 0 env ACME_AUTH=x archiver config check
exits 0 env ACME_AUTH=x setpriv --reuid=archiver --regid=archiver --clear-groups archiver config check
exits 2 setpriv --reuid=65534 --regid=65534 --clear-groups env ACME_AUTH=x archiver config check
grep -q 'permission denied' "$work/out" || fail "a stranger can read the configuration"
exits 0 setpriv --reuid=65534 --regid=65534 --groups="$(getent group archiver | cut -d: -f3)" env ACME_AUTH=x archiver config check

echo "== upgrade"
sed -i 's/acme:/lecture:/' /etc/archiver/archiver.yaml
echo theirs >/var/lib/archiver/state.db
chmod 0700 /etc/archiver/backfill # their decision
dpkg -i "$work"/2/*.deb
archiver version | grep -q '^archiver v0.0.2 ' || fail "the upgrade left $(archiver version)"
grep -q '^  lecture:' /etc/archiver/archiver.yaml || fail "the upgrade took the changed configuration away"
is /etc/archiver/archiver.yaml 640 root:archiver
is /etc/archiver/backfill 700 root:archiver

echo "== remove"
dpkg -r archiver
[ ! -e /usr/bin/archiver ] || fail "the removal left the program"
grep -q '^  lecture:' /etc/archiver/archiver.yaml || fail "the removal took the configuration"
[ "$(cat /var/lib/archiver/state.db)" = theirs ] || fail "the removal took the state"
dpkg -i "$work"/1/*.deb >/dev/null
grep -q '^  lecture:' /etc/archiver/archiver.yaml || fail "installing again took the configuration"

echo "== purge"
mkdir -p /etc/systemd/system/multi-user.target.wants
ln -s /usr/lib/systemd/system/archiver.service /etc/systemd/system/multi-user.target.wants/
dpkg --purge archiver | tee "$work/purge"
grep -q '/var/lib/archiver is kept' "$work/purge" || fail "the purge does not say what it keeps"
[ "$(cat /var/lib/archiver/state.db)" = theirs ] || fail "the purge took the state"
[ ! -e /etc/archiver/archiver.yaml ] || fail "the purge left the configuration"
[ ! -L /etc/systemd/system/multi-user.target.wants/archiver.service ] || fail "the purge left the service enabled"
echo "test-install.sh: all fine"
