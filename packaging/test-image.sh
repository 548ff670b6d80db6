#!/bin/bash
# Runs the binary in a directory that holds what deploy/Containerfile puts into
# the image and nothing else: no shell, no libc, no zones, nothing to write to but
# the state. Needs root, for chroot. A container engine is not needed.
set -euo pipefail
cd "$(dirname "$0")/.."

fail() {
	echo "test-image.sh: $*" >&2
	exit 1
}
[ "$(id -u)" = 0 ] || fail "needs root, for chroot"

image=$(mktemp -d)
running=
leave() {
	[ -z "$running" ] || kill -9 "$running" 2>/dev/null || true
	rm -rf "$image" "$image.log"
}
trap leave EXIT
chmod 0755 "$image"
mkdir -p "$image/etc/ssl/certs" "$image/etc/archiver" "$image/run/secrets"
CGO_ENABLED=0 go build -trimpath -ldflags "-s -w -X main.version=image" -o "$image/archiver" ./cmd/archiver
cp /etc/ssl/certs/ca-certificates.crt "$image/etc/ssl/certs/"
install -d -m 0750 -o 65532 -g 65532 "$image/var/lib/archiver"
install -m 0400 -o 65532 -g 65532 /dev/stdin "$image/run/secrets/acme-auth" <<<sesame
cat >"$image/etc/archiver/archiver.yaml" <<'YAML'
tenants:
  acme: {api_url: "https://127.0.0.1:1", auth_file: acme-auth, timezone: Asia/Shanghai, record_ids: [r1]}
storage: {bucket: recordings, endpoint: "https://127.0.0.1:1", access_key_id: x, secret_access_key: x, timezone: Europe/Berlin}
http: {listen: ""}
YAML
in_image() {
	env -i CREDENTIALS_DIRECTORY=/run/secrets "$(command -v chroot)" --userspec=65532:65532 "$image" /archiver "$@"
}
# not a function of ours: $! has to be the archiver itself
start() {
	: >"$image.log"
	env -i CREDENTIALS_DIRECTORY=/run/secrets "$(command -v chroot)" --userspec=65532:65532 "$image" /archiver run 2>"$image.log" &
	running=$!
}

in_image version | grep -q '^archiver image ' || fail "version: $(in_image version)"
in_image config check >/dev/null || fail "config check, which knows zones and finds secrets"

before=$(cd "$image" && find . -path ./var/lib/archiver -prune -o -print | sort)
for again in 1 2; do
	start
	until grep -q '"archiver started"' "$image.log"; do
		kill -0 "$running" 2>/dev/null || fail "the daemon ended: $(cat "$image.log")"
	done
	kill -TERM "$running"
	code=0
	wait "$running" || code=$?
	[ "$code" = 0 ] || fail "start $again: SIGTERM ended the daemon with $code: $(cat "$image.log")"
done
running=
in_image ls | grep -q r1 || fail "the state does not know what the daemon tracked"
[ "$(stat -c '%a %u:%g' "$image/var/lib/archiver/state.db")" = "600 65532:65532" ] || fail "state.db is $(stat -c '%a %u:%g' "$image/var/lib/archiver/state.db")"
[ "$(cd "$image" && find . -path ./var/lib/archiver -prune -o -print | sort)" = "$before" ] || fail "something was written beside the state"
echo "test-image.sh: all fine"
