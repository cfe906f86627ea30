// Package spread shares work among processors.
package spread

import (
	"runtime"
	"sync"
	"sync/atomic"
)

// Over calls do for each part, on as many processors as there are. What a part computes must
// not depend on another one, so that the result is the same on any number of them.
func Over(parts int, do func(part int)) {
	workers := min(runtime.GOMAXPROCS(0), parts)
	if workers <= 1 {
		for part := range parts {
			do(part)
		}
		return
	}
	var (
		next atomic.Int64
		wg   sync.WaitGroup
	)
	work := func() {
		for part := int(next.Add(1)) - 1; part < parts; part = int(next.Add(1)) - 1 {
			do(part)
		}
	}
	for range workers - 1 {
		wg.Go(work)
	}
	work()
	wg.Wait()
}
