package scenario

import (
	"fmt"
	"strings"
)

// Suggest returns the hint for a word that is not known among those that are.
func Suggest(got string, known []string) string { return suggest(got, known) }

// suggest returns `did you mean "x"?` for the nearest of the known words, or
// else the list of what is allowed.
func suggest(got string, known []string) string {
	if near := nearest(got, known); near != "" {
		return fmt.Sprintf("did you mean %q?", near)
	}
	if len(known) == 0 {
		return ""
	}
	if n := 40; len(known) > n {
		return fmt.Sprintf("known: %s … (%d in all)", strings.Join(known[:n], ", "), len(known))
	}
	return "known: " + strings.Join(known, ", ")
}

// nearest returns the known word that got was probably meant to be, or "".
// Case and the kind of separator do not count; a third of the letters may
// differ, and a beginning of a word stands for it.
func nearest(got string, known []string) string {
	got = plain(got)
	best, word := max(1, len(got)/3)+1, ""
	for _, k := range known {
		k, shown := plain(k), k
		d := distance(got, k)
		if len(got) >= 3 && strings.HasPrefix(k, got) {
			d = min(d, 1)
		}
		if d < best && d < len(k) {
			best, word = d, shown
		}
	}
	return word
}

var separators = strings.NewReplacer("_", "", "-", "", " ", "", ".", "")

func plain(s string) string { return separators.Replace(strings.ToLower(s)) }

// distance is the optimal string alignment distance: insertions, deletions,
// substitutions and swaps of neighbours count one each.
func distance(a, b string) int {
	const longest = 80 // no key is that long; what is longer is not a slip
	if len(a) > longest || len(b) > longest {
		return max(len(a), len(b))
	}
	var rows [3][longest + 1]int
	before, above, row := &rows[0], &rows[1], &rows[2]
	for j := range len(b) + 1 {
		above[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			change := above[j-1]
			if a[i-1] != b[j-1] {
				change++
			}
			row[j] = min(change, above[j]+1, row[j-1]+1)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, above, row = above, row, before
	}
	return above[len(b)]
}
