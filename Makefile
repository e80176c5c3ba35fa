# make test    installs the servers that are missing and runs all tests
# make lint    gofmt, go vet, staticcheck, and storevet on what uses the library
# make bench   in-code benchmarks of all modules, in a form that benchstat reads
# make fuzz    each fuzz target for FUZZTIME

GO        ?= go
MODULES   := . bench cmd/storevet examples systemtest
FUZZTIME  ?= 30s
BENCHTIME ?= 1s
COUNT     ?= 6
BENCH     ?= .

.PHONY: test servers lint bench bench-smoke fuzz

test: servers
	@set -e; for m in $(MODULES); do \
		echo "== go test -race ./... in $$m"; \
		(cd $$m && $(GO) test -race -timeout 20m ./...); \
	done

servers:
	@scripts/install-servers.sh --browser

lint:
	@files=$$(gofmt -l $$(git ls-files '*.go')); if [ -n "$$files" ]; then echo "gofmt these files:"; echo "$$files"; exit 1; fi
	@set -e; for m in $(MODULES); do \
		echo "== go vet and staticcheck in $$m"; \
		(cd $$m && $(GO) vet ./...); \
	done
	@set -e; check=$$(cd tools && GOWORK=off $(GO) tool -n staticcheck); \
	for m in $(MODULES); do (cd $$m && $$check ./...); done
	@set -e; tool=$$(mktemp -d); trap 'rm -r "$$tool"' EXIT; $(GO) build -o $$tool/storevet ./cmd/storevet; \
	for m in examples systemtest; do \
		echo "== storevet in $$m"; \
		(cd $$m && $(GO) vet -vettool=$$tool/storevet ./...); \
	done

# Benchmarks compare what runs side by side: do nothing else meanwhile.
bench: servers
	@set -e; for m in $(MODULES); do \
		(cd $$m && $(GO) test -run '^$$' -bench '$(BENCH)' -benchtime $(BENCHTIME) -count $(COUNT) -benchmem -timeout 3h ./...); \
	done

# Each benchmark for a moment, so that none can rot.
bench-smoke: servers
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
