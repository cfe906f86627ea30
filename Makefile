# Every target is one plain command; this file only remembers it.
.PHONY: check test bench fuzz web scenarios

check: ## what a change must pass: vet, linter, race detector
	go vet ./... && golangci-lint run && go test -race ./...

test: ## the tests as the README says
	go test ./...

scenarios: ## every shipped scenario but the one that loads the machine, once
	go run . validate scenarios/*.yaml && for s in quickstart bad-links peak-shaving-day; do go run . run --quiet scenarios/$$s.yaml || exit 1; done

bench: ## the benchmarks, for benchstat
	go test -run '^$$' -bench . -benchmem -count 5 ./bench ./platform/... ./twin/...

fuzz: ## half a minute for each fuzz target
	for p in $$(grep -rlE '^func Fuzz' --include=*_test.go . | xargs -n1 dirname | sort -u); do \
	  for f in $$(grep -ohE '^func Fuzz[A-Za-z0-9]+' $$p/*_test.go | cut -c6-); do go test -run '^$$' -fuzz "^$$f$$" -fuzztime 30s $$p || exit 1; done; done

web: ## the portal, as committed in web/dist
	cd web && npm ci --ignore-scripts && npm run build
