#!/bin/bash
# Runs a command as archiver.service would, where there is no systemd:
#
#   packaging/as-unit.sh CONFIG CREDDIR STATEDIR -- COMMAND…
#   packaging/as-unit.sh ./archiver.yaml ./credentials ./state -- bin/archiver run
#
# As an unprivileged user (archiver if there is one, else 65532) without any
# capability, on a file system that is read-only everywhere but STATEDIR, which is
# /var/lib/archiver as well; with ARCHIVER_CONFIG=CONFIG, a copy of CREDDIR's
# files in $CREDENTIALS_DIRECTORY, and a NOTIFY_SOCKET whose lines appear on
# standard error. WATCHDOG_USEC is 120000000 unless it is set.
#
# CONFIG and the command have to be readable for that user. HUP, INT and TERM are
# passed on; the exit code is the command's. Not done, because only systemd can:
# the filter of system calls, the address families, the restart. Needs root.
set -euo pipefail

usage() {
	echo "as-unit.sh: $1; usage: as-unit.sh CONFIG CREDDIR STATEDIR -- COMMAND…" >&2
	exit 2
}
if [ $# -lt 5 ] || [ "$4" != -- ]; then usage "wrong arguments"; fi
[ "$(id -u)" = 0 ] || usage "needs root, to become somebody else"
[ -f "$1" ] || usage "no file $1"
[ -d "$2" ] || usage "no directory $2"
config=$(realpath "$1") creds=$(realpath "$2")
mkdir -p "$3"
state=$(realpath "$3")
shift 4

user=65532 group=65532
if getent passwd archiver >/dev/null; then
	user=$(id -u archiver) group=$(id -g archiver)
fi
chown -R "$user:$group" "$state"
chmod 0750 "$state"

work=$(mktemp -d)
chmod 0755 "$work"
listener=
leave() {
	[ -z "$listener" ] || kill "$listener" 2>/dev/null || true
	rm -rf "$work"
}
trap leave EXIT
mkdir "$work/credentials"
(cd "$(dirname "$0")/.." && CGO_ENABLED=0 go build -o "$work/notifysocket" ./packaging/notifysocket)
"$work/notifysocket" "$work/notify" >&2 &
listener=$!
until [ -S "$work/notify" ]; do
	kill -0 "$listener" || exit 1
done

# Inside a mount namespace of its own; ends in exec, so that the process that
# is started here is the command itself.
# shellcheck disable=SC2016 # it is expanded there
inside='
set -eu
work=$1 creds=$2 state=$3 user=$4 group=$5
shift 5
mount -t tmpfs -o size=1m,mode=0500 tmpfs "$work/credentials"
find "$creds" -maxdepth 1 -type f -exec cp -t "$work/credentials" {} +
chown -R "$user:$group" "$work/credentials"
find "$work/credentials" -type f -exec chmod 0400 {} +
mount --bind "$state" "$state"
if [ "$state" != /var/lib/archiver ]; then
	exec 9<"$state" # /var/lib may hide it in a moment
	mount -t tmpfs -o size=1m,mode=0755 tmpfs /var/lib
	mkdir /var/lib/archiver
	mount --bind /proc/self/fd/9 /var/lib/archiver
	exec 9<&-
fi
findmnt -rno TARGET | while read -r target; do
	target=$(printf "%b" "$target")
	case $target in
	/proc | /proc/* | /sys | /sys/* | /dev | /dev/* | "$state" | /var/lib/archiver) ;;
	*) mount -o remount,bind,ro "$target" ;;
	esac
done
umask 0077
exec setpriv --reuid="$user" --regid="$group" --clear-groups --no-new-privs --inh-caps=-all --ambient-caps=-all --bounding-set=-all "$@"
'
env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin LANG=C.UTF-8 \
	ARCHIVER_CONFIG="$config" CREDENTIALS_DIRECTORY="$work/credentials" STATE_DIRECTORY=/var/lib/archiver \
	NOTIFY_SOCKET="$work/notify" WATCHDOG_USEC="${WATCHDOG_USEC:-120000000}" \
	unshare --mount --propagation private sh -c "$inside" as-unit "$work" "$creds" "$state" "$user" "$group" "$@" &
command=$!
for signal in HUP INT TERM; do
	trap 'kill -'$signal' "$command" 2>/dev/null || true' "$signal"
done
echo "as-unit.sh: process $command, user $user, state $state" >&2

# wait ends early when a signal came; asked again, it tells the command's code.
while true; do
	wait "$command" || true
	kill -0 "$command" 2>/dev/null || break
done
code=0
wait "$command" || code=$?
exit "$code"
