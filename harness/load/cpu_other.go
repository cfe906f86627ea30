//go:build !unix

package load

import "time"

// processorTime is what this process has used of the processors; 0: nobody knows.
func processorTime() time.Duration { return 0 }
