# Everything that a fresh machine lacks is fetched into the cache: Go modules, the ClickHouse engine (npm), Kafka's
# jars (Maven), the linter. After that no network is needed.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

GO ?= go
# Where fetched things are kept. AGENTAUDIT_CACHE changes it, for the programs as well.
CACHE := $(or $(AGENTAUDIT_CACHE),$(or $(XDG_CACHE_HOME),$(HOME)/.cache)/agentaudit)
VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
LDFLAGS := -s -w -X github.com/agentaudit/agentaudit/internal/telemetry.version=$(VERSION)

GOLANGCI_LINT_VERSION := v2.15.0
GOVULNCHECK_VERSION := v1.9.0
LINT := $(CACHE)/tools/golangci-lint-$(GOLANGCI_LINT_VERSION)

FUZZTIME ?= 10s

# These packages' tests take longest. They begin first, so that none of them is left alone at the end.
LONGEST := ./internal/privacy ./internal/acceptance ./internal/exporter ./internal/vault ./internal/kafkaio

.PHONY: help
help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-15s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: need-go
need-go:
	@command -v $(GO) >/dev/null || { echo "Go is missing: install Go 1.26 or newer from https://go.dev/dl and put it on the PATH"; exit 1; }

.PHONY: build
build: need-go ## build the programs into bin/
	@mkdir -p bin
	@[[ -x bin/agentaudit ]] || echo "compiling, a few minutes the first time ..."
	CGO_ENABLED=0 $(GO) build -ldflags '$(LDFLAGS)' -o bin/ ./cmd/...

.PHONY: engine
engine: build ## fetch the embedded ClickHouse engine into the cache and check its digest
	@bin/agentaudit engine fetch

.PHONY: run
run: build engine ## run everything on this machine, with sample traffic, in .data
	@bin/agentaudit up --data .data --sample

.PHONY: kafka-jars
kafka-jars: need-go ## fetch the Apache Kafka that the tests run against into the cache (Maven)
	@$(GO) run ./internal/testkit/cmd/withservices -fetch-kafka

.PHONY: test-deps
test-deps: need-go ## install what the tests need besides (Debian, as root), or name it
	@$(GO) run ./internal/testkit/cmd/withservices -install

.PHONY: test
# The tests of a package wait for servers and for processes that are killed a third of their time: one package more than there are processors keeps those busy.
test: build engine test-deps kafka-jars ## run all tests, on the embedded engines, an Apache Kafka 4 and a PostgreSQL
	$(GO) run ./internal/testkit/cmd/withservices -- $(GO) test -race -p $$(($$(nproc) + 1)) -timeout 40m $(LONGEST) ./...

.PHONY: lint
lint: need-go $(LINT) ## gofmt, go vet, golangci-lint
	@unformatted=$$(gofmt -l cmd deploy internal pkg schemas); if [[ -n $$unformatted ]]; then echo "not formatted (run gofmt -w):" $$unformatted; exit 1; fi
	$(GO) vet ./...
	$(LINT) run ./...

$(LINT):
	@echo "building golangci-lint $(GOLANGCI_LINT_VERSION), once ..."
	@mkdir -p $(CACHE)/tools
	@GOBIN=$(CACHE)/tools GOFLAGS= $(GO) install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_LINT_VERSION)
	@mv $(CACHE)/tools/golangci-lint $@

# BENCHFLAGS chooses parts and sizes, for example BENCHFLAGS='-parts folder,stored -folder 1000000 -stored 1000000'.
.PHONY: bench
bench: build engine ## run the benchmarks and print one table (BENCHFLAGS: parts and sizes)
	@$(GO) run ./internal/bench $(BENCHFLAGS)

# Making interesting inputs small would take most of the time where goroutines make what is covered differ from run to run.
.PHONY: fuzz
fuzz: need-go ## run each fuzz target for FUZZTIME (10s)
	@for package in $$(grep -rl --include='*_test.go' '^func Fuzz' cmd internal pkg | xargs -r -n1 dirname | sort -u); do \
	  for target in $$($(GO) test -list '^Fuzz' ./$$package | grep '^Fuzz'); do \
	    echo "$$package $$target"; $(GO) test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 10x ./$$package; \
	  done; \
	done

.PHONY: vuln
vuln: need-go ## look for known vulnerabilities in what the programs call
	$(GO) run golang.org/x/vuln/cmd/govulncheck@$(GOVULNCHECK_VERSION) ./...

.PHONY: compose-secrets
compose-secrets: ## make the passwords of docker-compose.yml, once, in deploy/compose/secrets
	@deploy/compose/make-secrets

.PHONY: clean
clean: ## remove what was built (not .data, not the cache)
	rm -rf bin
