# make servers installs the servers that the tests start and that are missing; on Debian and Ubuntu with apt, as root
# make test    runs all tests; those whose server is missing skip, and fail where CI is set
# make lint    gofmt; golangci-lint with what .golangci.yml enables, go vet and staticcheck among it; storevet on what uses the library; deadcode
# make check   tidy modules; go vet of each without the workspace, for other systems and 32 bits; the core tests on 386
# make versions  go vet and the core tests with the oldest Go that the module supports, and with the newest
# make bench   in-code benchmarks of all modules, in a form that benchstat reads
# make fuzz    each fuzz target for FUZZTIME

GO        ?= go
MODULES   := . bench cmd/storectl cmd/storevet examples integrations/otelstore integrations/otelstore/demo integrations/socketio systemtest
CORE      := . ./codec/... ./backends/memstore ./live ./httpsession ./inspect
GOVERSIONS ?= go1.26.0 go1.27.4
FUZZTIME  ?= 30s
BENCHTIME ?= 1s
COUNT     ?= 6
BENCH     ?= .

# Of the client of Hazelcast; see the file.
GORACE    ?= suppressions=$(CURDIR)/race.suppressions

.PHONY: test servers lint check bench bench-smoke fuzz

test:
	@set -e; for m in $(MODULES); do \
		echo "== go test -race ./... in $$m"; \
		(cd $$m && GORACE='$(GORACE)' $(GO) test -race -timeout 40m ./...); \
	done
	@echo "== go test over polling in integrations/socketio and examples/socketio"
	@cd integrations/socketio && $(GO) test -timeout 40m ./...
	@cd examples && $(GO) test -timeout 40m ./socketio

servers:
	@scripts/install-servers.sh --browser

lint:
	@files=$$(gofmt -l $$(git ls-files '*.go')); if [ -n "$$files" ]; then echo "gofmt these files:"; echo "$$files"; exit 1; fi
	@set -e; lint=$$(cd tools/golangci && GOWORK=off $(GO) tool -n golangci-lint); \
	for m in $(MODULES); do echo "== golangci-lint in $$m"; (cd $$m && $$lint run ./...); done
	@set -e; tool=$$(mktemp -d); trap 'rm -r "$$tool"' EXIT; $(GO) build -o $$tool/storevet ./cmd/storevet; \
	for m in examples integrations/otelstore integrations/otelstore/demo integrations/socketio systemtest; do \
		echo "== storevet in $$m"; \
		(cd $$m && $(GO) vet -vettool=$$tool/storevet ./...); \
	done
	@echo "== deadcode"
	@dead=$$($$(cd tools && GOWORK=off $(GO) tool -n deadcode) -test $(MODULES:%=./%/...) | grep -v ': unreachable func: Example'; true); \
	if [ -n "$$dead" ]; then echo "nothing reaches these, not even a test:"; echo "$$dead"; exit 1; fi

# Modules are tidy and complete without the workspace, on every system and word size.
check:
	@set -e; for m in $(MODULES) tools tools/golangci; do \
		echo "== go mod tidy -diff and go vet in $$m"; \
		(cd $$m && GOWORK=off $(GO) mod tidy -diff); \
	done
	@set -e; for m in $(MODULES); do \
		for o in linux/amd64 windows/amd64 darwin/arm64 linux/386; do \
			echo "== go vet for $$o in $$m"; \
			(cd $$m && GOWORK=off CGO_ENABLED=0 GOOS=$${o%/*} GOARCH=$${o#*/} $(GO) vet ./...); \
		done; \
	done
	@echo "== tests of the core on 386"
	@GOWORK=off CGO_ENABLED=0 GOARCH=386 $(GO) test -short $(CORE)

# The go command fetches the toolchains as it does modules.
versions:
	@set -e; for v in $(GOVERSIONS); do \
		echo "== go vet and tests of the core with $$v"; \
		GOWORK=off GOTOOLCHAIN=$$v $(GO) vet $(CORE); \
		GOWORK=off GOTOOLCHAIN=$$v $(GO) test -short $(CORE); \
	done

# Benchmarks compare what runs side by side: do nothing else meanwhile.
bench:
	@set -e; for m in $(MODULES); do \
		(cd $$m && $(GO) test -run '^$$' -bench '$(BENCH)' -benchtime $(BENCHTIME) -count $(COUNT) -benchmem -timeout 3h ./...); \
	done

# Each benchmark for a moment, so that none can rot.
bench-smoke:
	@set -e; for m in $(MODULES); do \
		echo "== benchmarks in $$m"; \
		(cd $$m && $(GO) test -run '^$$' -short -bench . -benchtime 1x -timeout 10m ./...); \
	done

fuzz:
	@set -e; for p in $$($(GO) list ./...); do \
		for f in $$($(GO) test -list '^Fuzz' $$p | grep '^Fuzz' || true); do \
			echo "== $$p $$f"; $(GO) test -run '^$$' -fuzz "^$$f$$" -fuzztime $(FUZZTIME) $$p; \
		done; \
	done
