#!/usr/bin/env bash
# Passes every test of the project; installs nothing but what it needs to.
#
#   ./test.sh            everything, with the race detector
#   ./test.sh -short     the same with fewer kills in the crash test
#
# Needs Go (the version in go.mod) and, for the race detector, a C compiler,
# which is installed where apt-get and the right to use it are at hand.
set -euo pipefail
cd "$(dirname "$0")"

if ! command -v go >/dev/null; then
	echo "test.sh: Go is not installed; get it from your distribution or from https://go.dev/dl" >&2
	exit 1
fi
if ! command -v "${CC:-gcc}" >/dev/null; then
	if command -v apt-get >/dev/null && [ "$(id -u)" = 0 ]; then
		apt-get update -qq && apt-get install -y -qq gcc libc6-dev
	else
		echo "test.sh: the race detector needs a C compiler; install gcc and libc6-dev" >&2
		exit 1
	fi
fi

go mod tidy -diff
go vet ./...
CGO_ENABLED=1 exec go test -race -shuffle=on -timeout 20m "$@" ./...
