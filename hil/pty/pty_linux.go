package pty

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// slaves is where the far ends of pseudo-terminals are.
const slaves = "/dev/pts/"

func open(link string) (*Terminal, error) {
	near, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, fmt.Errorf("pseudo-terminal: %w", err)
	}
	t := &Terminal{File: near, link: link}
	if err := t.connect(); err != nil {
		_ = t.Close() // it was never used
		return nil, fmt.Errorf("pseudo-terminal %s: %w", link, err)
	}
	return t, nil
}

func (t *Terminal) connect() error {
	var n int
	err := control(t.File, func(fd int) error {
		if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
			return err
		}
		var err error
		n, err = unix.IoctlGetInt(fd, unix.TIOCGPTN)
		return err
	})
	if err != nil {
		return err
	}
	t.path = fmt.Sprintf("%s%d", slaves, n)
	if t.far, err = os.OpenFile(t.path, os.O_RDWR|unix.O_NOCTTY, 0); err != nil {
		return err
	}
	if err := control(t.far, raw); err != nil {
		return err
	}
	return t.place()
}

// place links the far end.
func (t *Terminal) place() error {
	switch at, err := os.Readlink(t.link); {
	case err == nil && strings.HasPrefix(at, slaves):
		if err := os.Remove(t.link); err != nil {
			return err
		}
	case err == nil:
		return fmt.Errorf("there is a link to %s already", at)
	case !errors.Is(err, fs.ErrNotExist):
		return errors.New("there is another file already")
	}
	return os.Symlink(t.path, t.link)
}

// control runs do on the descriptor of f, which stays one that closing interrupts.
func control(f *os.File, do func(fd int) error) error {
	c, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	if err := c.Control(func(fd uintptr) { failed = do(int(fd)) }); err != nil {
		return err
	}
	return failed
}

// raw lets bytes through as they are, as cfmakeraw(3) does.
func raw(fd int) error {
	t, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	if err != nil {
		return err
	}
	t.Iflag &^= unix.IGNBRK | unix.BRKINT | unix.PARMRK | unix.ISTRIP | unix.INLCR | unix.IGNCR | unix.ICRNL | unix.IXON
	t.Oflag &^= unix.OPOST
	t.Lflag &^= unix.ECHO | unix.ECHONL | unix.ICANON | unix.ISIG | unix.IEXTEN
	t.Cflag = t.Cflag&^(unix.CSIZE|unix.PARENB) | unix.CS8
	return unix.IoctlSetTermios(fd, unix.TCSETS, t)
}

// Close takes the link away, too, unless somebody else has put another there.
func (t *Terminal) Close() error {
	if t.far != nil {
		if at, err := os.Readlink(t.link); err == nil && at == t.path {
			_ = os.Remove(t.link) // a link that stays leads nowhere
		}
		_ = t.far.Close() // nothing was written to it
	}
	return t.File.Close()
}
