package nats

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"yunchu/platform/bus"
)

// blockFolder is where the embedded server keeps the blocks of a log, N.blk in order.
func blockFolder(store, stream string) string {
	return filepath.Join(store, "jetstream", "$G", "streams", streamName(stream), "msgs")
}

func blockPath(folder string, n int) string { return filepath.Join(folder, fmt.Sprintf("%d.blk", n)) }

// blocks are the numbers of the blocks in a folder, ascending.
func blocks(folder string) (list []int, err error) {
	entries, err := os.ReadDir(folder)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	for _, e := range entries {
		var n int
		if _, err := fmt.Sscanf(e.Name(), "%d.blk", &n); err == nil && e.Name() == fmt.Sprintf("%d.blk", n) {
			list = append(list, n)
		}
	}
	slices.Sort(list)
	return list, err
}

// A record of a block begins with its length (4 bytes, the top bit says that it has headers),
// its sequence (8; of its upper bits one says that it was erased, one that it is the mark of
// a deletion) and its time (8).
const (
	recordHead   = 22
	headersBit   = 1 << 31
	markBit      = 1 << 62
	sequenceBits = 1<<62 - 1
)

// leap is how far sequences of neighbours may be apart. Those of a log follow each other;
// this leaves room for whatever a server may have left out.
const leap = 1 << 20

// mend puts sequences back that have changed on the disk to ones far from their neighbours'.
// The server takes what lies between for messages that were deleted, and notes each of
// them: one turned bit would cost it more memory than there is. Whether a record is whole
// otherwise its checksum says, when it is read. newest: the last block too, to which nobody
// may be writing.
func mend(store string, newest bool) (found []bus.Damage, err error) {
	for _, stream := range bus.Streams {
		folder := blockFolder(store, stream)
		list, err := blocks(folder)
		if err != nil {
			return found, err
		}
		if !newest && len(list) > 0 {
			list = list[:len(list)-1]
		}
		last := uint64(0) // sequence before, 0: not known
		for _, n := range list {
			var put []uint64
			if put, last, err = mendBlock(blockPath(folder, n), last); err != nil {
				return found, fmt.Errorf("look through the log %s: %w", stream, err)
			}
			for _, seq := range put {
				found = append(found, bus.Damage{Stream: stream, From: seq, To: seq, What: "its sequence had changed on the disk and was put back"})
			}
		}
	}
	return found, nil
}

// mendBlock does one block, behind the sequence last, and returns what it has put back and
// the last sequence of the block. A block that ends in the middle is for the server to judge.
func mendBlock(path string, last uint64) (put []uint64, end uint64, err error) {
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) { // trimmed meanwhile
		return nil, last, nil
	}
	if err != nil {
		return nil, last, err
	}
	var f *os.File
	for at := 0; ; {
		head, next := record(b, at)
		if next == 0 {
			break
		}
		raw := binary.LittleEndian.Uint64(head[4:])
		seq := raw & sequenceBits
		want := last + 1
		if last == 0 { // the first that is there: by the one behind it
			want = seq
			if follower, _ := record(b, next); follower != nil {
				want = binary.LittleEndian.Uint64(follower[4:])&sequenceBits - 1
			}
		}
		if raw&markBit == 0 {
			if seq > want+leap || seq+leap < want {
				if f == nil {
					if f, err = os.OpenFile(path, os.O_WRONLY, 0); err != nil {
						return put, last, err
					}
					defer f.Close()
				}
				seq = want
				if _, err := f.WriteAt(binary.LittleEndian.AppendUint64(nil, seq), int64(at)+4); err != nil {
					return put, last, err
				}
				put = append(put, seq)
			}
			last = max(last, seq)
		}
		at = next
	}
	if f != nil {
		err = f.Sync()
	}
	return put, last, err
}

// record is the head of the record at an offset, and where the next one begins; nil and 0
// where there is no whole one.
func record(b []byte, at int) (head []byte, next int) {
	if at+recordHead > len(b) {
		return nil, 0
	}
	n := int(binary.LittleEndian.Uint32(b[at:]) &^ headersBit)
	if n < recordHead || at+n > len(b) {
		return nil, 0
	}
	return b[at : at+recordHead], at + n
}
