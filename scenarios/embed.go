// Package scenarios holds the scenario files that ship with the program and
// their inputs. The inputs are made by gen.go: go generate ./scenarios
package scenarios

import "embed"

// Files are the scenarios, their inputs and their models, with the paths of the repository
// below scenarios/.
//
//go:generate go run gen.go
//go:embed *.yaml accept/*.yaml rigs/*.yaml inputs/*.csv models/*.yaml
var Files embed.FS
