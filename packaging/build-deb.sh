#!/bin/sh
# Builds dist/archiver_VERSION_ARCH.deb, the same bytes from the same source.
#
#   packaging/build-deb.sh [DIR]      DIR: where it goes, ./dist
#
# VERSION            such as v1.2.3; default: git describe
# SOURCE_DATE_EPOCH  date of everything in it; default: that of the last commit
# GOARCH             what it is for; default: this machine
set -eu
cd "$(dirname "$0")/.."
out=${1:-dist}
nfpm=github.com/goreleaser/nfpm/v2/cmd/nfpm@v2.45.2

VERSION=${VERSION:-$(git describe --tags --always --dirty 2>/dev/null || echo devel)}
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || date +%s)}
GOARCH=${GOARCH:-$(go env GOARCH)}
# v1.2.3 is 1.2.3; v1.2.3-4-gabc is later than it: 1.2.3+4.gabc; v1.2.3-rc.1 is
# earlier: 1.2.3~rc.1; a source without tags is earlier than all releases.
case $VERSION in
v[0-9]*.* | [0-9]*.*) DEB_VERSION=$(echo "${VERSION#v}" | sed -E 's/-([0-9]+)-g/+\1.g/; s/-dirty$/+dirty/; s/-/~/g') ;;
*) DEB_VERSION="0~$(date -u -d "@$SOURCE_DATE_EPOCH" +%Y%m%d%H%M%S).$(echo "$VERSION" | tr - +)" ;;
esac
STAGE=$(mktemp -d)
trap 'rm -rf "$STAGE"' EXIT
export SOURCE_DATE_EPOCH GOARCH

build() { CGO_ENABLED=0 go build -trimpath -ldflags "-s -w -X main.version=$VERSION" -o "$@" ./cmd/archiver; }
build "$STAGE/archiver"

# What describes the commands is written by a binary that runs here.
GOARCH=$(go env GOHOSTARCH) build "$STAGE/host"
for shell in bash zsh fish; do
	"$STAGE/host" completion "$shell" >"$STAGE/archiver.$shell"
done
mkdir "$STAGE/man"
GOARCH=$(go env GOHOSTARCH) go run -tags man ./cmd/archiver "$STAGE/man"
gzip -9n "$STAGE"/man/*
cp -R docs "$STAGE/docs"
find "$STAGE/docs" -type d -exec chmod 0755 {} + -o -type f -exec chmod 0644 {} +

mkdir -p "$out"
GOARCH=$(go env GOHOSTARCH) GOBIN=$STAGE go install "$nfpm"
sed "s|@STAGE@|$STAGE|; s|@GOARCH@|$GOARCH|; s|@VERSION@|$DEB_VERSION|; s|@MTIME@|$(date -u -d "@$SOURCE_DATE_EPOCH" +%Y-%m-%dT%H:%M:%SZ)|" \
	packaging/nfpm.yaml >"$STAGE/nfpm.yaml"
"$STAGE/nfpm" package --config "$STAGE/nfpm.yaml" --packager deb --target "$out/archiver_${DEB_VERSION}_$GOARCH.deb"
