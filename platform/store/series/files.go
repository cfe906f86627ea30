package series

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"sync"
)

// maxIdle is how many files are kept open that nobody reads at the moment. How many are
// open at once is bounded by that and by the pages that are read at the same time, however
// many files an answer comes from.
const maxIdle = 64

// handle is a file that is read.
type handle interface {
	io.ReadCloser
	io.ReaderAt
	Stat() (fs.FileInfo, error)
}

// openHandle opens a file of the store; tests put faults in between.
var openHandle = func(path string) (handle, error) { return os.Open(path) }

// openFiles are the files that were read last. The zero value is ready.
type openFiles struct {
	mu    sync.Mutex
	clock uint64
	held  map[string]*openFile
	idle  int
}

type openFile struct {
	handle
	path string
	refs int
	used uint64
}

// get opens the file of a table that is part of the store, or finds it open. put gives it back.
func (o *openFiles) get(g *table) (*openFile, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	f := o.held[g.path]
	if f == nil {
		opened, err := g.reopen()
		if err != nil {
			return nil, err
		}
		if o.held == nil {
			o.held = map[string]*openFile{}
		}
		f = &openFile{handle: opened, path: g.path}
		o.held[g.path] = f
	} else if f.refs == 0 {
		o.idle--
	}
	f.refs++
	return f, nil
}

func (o *openFiles) put(f *openFile) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.clock++
	f.used = o.clock
	if f.refs--; f.refs > 0 {
		return
	}
	if o.held[f.path] != f { // it was removed meanwhile
		f.Close()
		return
	}
	if o.idle++; o.idle > maxIdle {
		oldest := f
		for _, h := range o.held {
			if h.refs == 0 && h.used < oldest.used {
				oldest = h
			}
		}
		o.drop(oldest)
	}
}

// drop closes a file that nobody reads. It is called with the lock held.
func (o *openFiles) drop(f *openFile) {
	delete(o.held, f.path)
	o.idle--
	f.Close()
}

// forget closes a file that is no longer part of the store, as soon as nobody reads it.
func (o *openFiles) forget(path string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	switch f := o.held[path]; {
	case f == nil:
	case f.refs == 0:
		o.drop(f)
	default:
		delete(o.held, path)
	}
}

// close closes all that nobody reads, and the others as soon as nobody does.
func (o *openFiles) close() {
	o.mu.Lock()
	defer o.mu.Unlock()
	for path, f := range o.held {
		if f.refs == 0 {
			o.drop(f)
		} else {
			delete(o.held, path)
		}
	}
}

// reopen opens the file of a table that is part of the store.
func (g *table) reopen() (handle, error) {
	f, err := openHandle(g.path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, g.damaged(errors.New("the file is gone"))
	case err != nil:
		return nil, fmt.Errorf("read history: %w", err)
	}
	return f, nil
}
