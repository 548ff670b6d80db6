GOLANGCI_LINT = github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo devel)

.PHONY: build test lint demo bench

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
