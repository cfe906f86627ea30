package nats

import (
	"os"

	"yunchu/platform/bus"
)

// aheadOf is the room kept behind the end of a log's newest block, in bytes: for readings
// more than what is on its way when the disk is found to be nearly full.
func aheadOf(stream string) int64 {
	if stream == bus.Data {
		return 4 << 20
	}
	return 512 << 10
}

// ahead gives the newest block of a log the room that its next messages need while a disk
// fills up. What was accepted before readings are refused is then written, however fast
// somebody else takes the rest: a log whose write the disk refuses is not trusted again.
type ahead struct {
	dir   string // of the blocks
	room  int64
	block int   // number of the newest
	until int64 // bytes of it that the disk has given
}

func newAhead(store, stream string) *ahead {
	return &ahead{dir: blockFolder(store, stream), room: aheadOf(stream)}
}

func (a *ahead) path(block int) string { return blockPath(a.dir, block) }

// keep looks for the newest block, and whether it has room. Errors are left to the write
// that meets them.
func (a *ahead) keep() {
	if _, err := os.Stat(a.path(a.block)); a.block == 0 || err != nil {
		a.find()
	}
	for a.block > 0 {
		if _, err := os.Stat(a.path(a.block + 1)); err != nil {
			break
		}
		a.block, a.until = a.block+1, 0
	}
	info, err := os.Stat(a.path(a.block))
	if err != nil || info.Size()+a.room/2 <= a.until {
		return
	}
	f, err := os.OpenFile(a.path(a.block), os.O_WRONLY, 0)
	if err != nil {
		return
	}
	defer f.Close()
	if allocate(f, info.Size(), a.room) == nil {
		a.until = info.Size() + a.room
	}
}

func (a *ahead) find() {
	a.block, a.until = 0, 0
	if list, err := blocks(a.dir); err == nil && len(list) > 0 {
		a.block = list[len(list)-1]
	}
}
