// Package plural says how many there are of a thing.
package plural

import "strconv"

// Count is a number of things with their word, as in "1 batch" and "2 batches".
func Count(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return strconv.Itoa(n) + " " + many
}
