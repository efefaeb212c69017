# swift-csp's tasks. `make` or `make help` lists them. Each configuration builds in a folder of its own (.build-NAME), so
# that going from one to another rebuilds nothing.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

# The Swift files of every package here. Hidden folders hold build products.
SWIFT_FILES = $(shell find Package.swift Sources Tests Examples Benchmarks -name '.?*' -prune -o -name '*.swift' -print)

# Numbers of Ps for a million goroutines; the stress tests go through 1, 2, 4 and 16 by themselves.
SCALE_PROCS ?= 1 4 16

# Of `net-faults`: seconds for each number of Ps, and how many idle connections, which takes as many descriptors in each of two processes.
NET_SECONDS ?= 60
NET_IDLE ?= 10000

# A warning is an error. SwiftPM leaves that out for packages we depend on, and takes -Werror for Swift's option of that name, which has one argument: so
# something must come behind it.
STRICT = -Xswiftc -warnings-as-errors -Xcc -Werror -Xcc -DCSP_STRICT

.PHONY: help
help: ## Lists these targets.
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: format
format: ## Formats every Swift file in place.
	@swift format format --in-place --parallel $(SWIFT_FILES)

.PHONY: lint
lint: ## Checks the format, and that each unsafe step says why it is safe.
	@swift format lint --strict --parallel $(SWIFT_FILES)
	Scripts/check-safety-comments
	Scripts/check-rule-tables

.PHONY: test
test: ## Runs all tests in debug, as the README says.
	swift test

.PHONY: test-release
test-release: ## Runs all tests in release; a warning is an error.
	swift test -c release --scratch-path .build-release $(STRICT)

.PHONY: scale
scale: ## Parks and wakes a million goroutines, in release, with 1, 4 and 16 Ps.
	swift build --build-tests -c release --scratch-path .build-release $(STRICT)
	for procs in $(SCALE_PROCS); do \
	    echo "-- CSP_MAXPROCS=$$procs"; \
	    CSP_STRESS=1 CSP_MAXPROCS=$$procs swift test --skip-build -c release --scratch-path .build-release \
	        $(STRICT) --filter manyGoroutinesParkAndAreWokenByClose; \
	done

.PHONY: stress
stress: scale ## Runs the stress tests at length, in release, with 1, 2, 4 and 16 Ps: the one heavy part that CI leaves out.
	CSP_STRESS=1 swift test --skip-build -c release --scratch-path .build-release \
	    $(STRICT) --filter CSPStressTests

.PHONY: net-faults
net-faults: ## Runs connections with faults for minutes, with 1, 2, 4 and 16 Ps, then many that are idle.
	swift build --product net-programs -c release --scratch-path .build-release $(STRICT)
	bin=$$(swift build -c release --scratch-path .build-release $(STRICT) --show-bin-path); \
	for procs in 1 2 4 16; do \
	    CSP_MAXPROCS=$$procs $$bin/net-programs faults $(NET_SECONDS) $$RANDOM$$RANDOM; \
	done; \
	$$bin/net-programs idle $(NET_IDLE) 10

.PHONY: fatal
fatal: ## Runs the programs that must die, and checks what they say.
	swift test --filter CSPFatalTests

.PHONY: refused
refused: ## Checks that the compiler refuses races and other mistakes, with the messages in Tests/Refused.
	swift build
	Scripts/check-refused

.PHONY: checks
checks: ## Runs tests with the runtime's invariants asserted (trait InternalChecks); a warning is an error.
	swift test --traits InternalChecks --scratch-path .build-checks $(STRICT) --skip CSPFatalTests

.PHONY: tsan
tsan: ## Runs tests under ThreadSanitizer, which must report what is racy and nothing else.
	swift build --build-tests --sanitize=thread --scratch-path .build-tsan $(STRICT)
	Scripts/check-races .build-tsan
	# One round each, with another seed every time: to the sanitizer a second one is much the same. The models are of what comes out, not of how.
	CSP_STRESS=0 swift test --skip-build --sanitize=thread --scratch-path .build-tsan $(STRICT) \
	    --filter 'CSPTests|CSPTestingTests|SyncStressTests|MapStressTests|ContextStressTests|TaskStressTests|RunQueueModelTests|CSPStressTests.StressTests|CSPNetTests'

.PHONY: asan
asan: ## Runs tests under AddressSanitizer, which must report wrong uses of memory and leaks, and nothing else.
	swift build --build-tests --sanitize=address --scratch-path .build-asan $(STRICT)
	Scripts/check-addresses .build-asan
	# Without XCTest, which leaks.
	swift test --skip-build --sanitize=address --scratch-path .build-asan $(STRICT) \
	    --disable-xctest --filter 'CSPTests|CSPTestingTests'

.PHONY: fallbacks
fallbacks: ## Runs the tests in release as on kernels without membarrier, then without guards that need no mapping.
	CSP_STRESS=0 CSP_MEMBARRIER=off swift test -c release --scratch-path .build-release \
	    $(STRICT) --filter 'CSPTests|CSPTestingTests|CSPStressTests'
	CSP_STACK_GUARD=mprotect swift test --skip-build -c release --scratch-path .build-release \
	    $(STRICT) --filter CSPTests

.PHONY: examples
examples: ## Builds and tests the Examples package.
	swift test --package-path Examples

.PHONY: debug-tools
debug-tools: ## Has Prometheus, a browser and pprof look at a running program, as users of CSPDebug would.
	Scripts/debug-tools
	Scripts/check-pprof

.PHONY: bench
bench: ## Measures beside Go and Swift's tasks, and prints the table.
	Benchmarks/compare

.PHONY: counts
counts: ## Counts instructions, allocations, retains and releases per operation, and compares with Benchmarks/thresholds.json.
	Benchmarks/counts --check

.PHONY: bench-smoke
bench-smoke: ## Builds the benchmarks and runs some; times mean nothing here.
	swift build --package-path Benchmarks -c release
	Benchmarks/.build/release/csp-bench spawn-join
	Benchmarks/.build/release/csp-bench mixed
	Benchmarks/.build/release/async-bench yield-alone
	Benchmarks/.build/release/task-bench 1

.PHONY: consumer
consumer: ## Depends on this package from new ones, as a user would: by path, revision and version, and linked statically.
	Scripts/consumer-package

.PHONY: tour
tour: ## Runs the tour.
	swift run tour

.PHONY: aarch64
aarch64: ## Tests the stack switch alone, natively and for AArch64 under qemu.
	Scripts/test-aarch64

.PHONY: ci
ci: ## Runs everything that CI runs.
	.ci/run

.PHONY: clean
clean: ## Removes all build products.
	rm -rf .build .build-* Examples/.build Benchmarks/.build
