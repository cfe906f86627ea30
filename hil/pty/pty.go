// Package pty makes pseudo-terminals: serial lines without a cable, on which emulators
// are reached by whatever opens a serial port.
package pty

import "os"

// Terminal is the near end of a pseudo-terminal. What is written to it, the far end
// reads, and the other way round. Its far end is held open, too: without anybody there
// reads would fail, and what a client leaves unread would be lost.
type Terminal struct {
	*os.File
	path string // of the far end
	link string
	far  *os.File
}

// Open makes a pseudo-terminal whose far end, in raw mode, is linked at link. A link to a
// pseudo-terminal that is there already is one of a run before, and is replaced; anything
// else at that path is left alone, and is an error.
func Open(link string) (*Terminal, error) { return open(link) }

// Path is the device file of the far end.
func (t *Terminal) Path() string { return t.path }

// Link is where that is linked.
func (t *Terminal) Link() string { return t.link }
