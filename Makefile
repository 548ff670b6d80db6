GOLANGCI_LINT = github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo devel)

.PHONY: build test lint demo bench deb test-deb test-packaging

build: ## the static binary bin/archiver
	CGO_ENABLED=0 go build -trimpath -ldflags '-s -w -X main.version=$(VERSION)' -o bin/archiver ./cmd/archiver

test: ## what CI runs
	./test.sh

lint: ## the rules of .golangci.yml, with the pinned version
	go run $(GOLANGCI_LINT) run ./...

demo: ## the whole system on this machine
	go run ./cmd/demo --once

bench: ## beside rclone; see bench/main.go
	go run ./bench

deb: ## dist/archiver_VERSION_ARCH.deb
	VERSION='$(VERSION)' packaging/build-deb.sh

test-deb: ## installs, upgrades and purges it here: as root, on a machine to throw away
	packaging/test-install.sh

test-packaging: ## units, Compose and Kubernetes by their own schemas; the image's file system in a chroot
	go test ./packaging/
	cd packaging/check && go test ./...
	packaging/test-image.sh
