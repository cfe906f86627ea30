# Every target is one plain command; this file only remembers it.
.PHONY: help check test bench fuzz web scenarios ci

help: ## this list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/'

check: ## what a change must pass: vet, linter, race detector
	go vet ./... && golangci-lint run && go test -race ./...

test: ## the tests as the README says
	go test ./...

scenarios: ## every shipped scenario that runs in virtual time, once
	go run . validate scenarios/*.yaml && go run . run --quiet $$(grep -L '^clock: *wall' scenarios/*.yaml)

bench: ## the benchmarks, for benchstat
	go test -run '^$$' -bench . -benchmem -count 5 ./...

fuzz: ## half a minute for each fuzz target
	git grep -oE '^func Fuzz[A-Za-z0-9_]+' -- '*_test.go' | sed 's/func //' | while IFS=: read -r file target; do \
	  go test -run '^$$' -fuzz "^$$target$$" -fuzztime 30s ./$$(dirname $$file) || exit 1; done

web: ## the portal, as committed in web/dist
	cd web && npm ci --ignore-scripts && npm test && npm run build

ci: ## everything that CI does, on a Debian machine
	bash .ci/run
