package emul

import (
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// pty is the near end of a pseudo-terminal. Its far end is held open, too: without anybody
// there reads would fail.
type pty struct {
	*os.File
	far  *os.File
	link string
}

// openPTY makes a pseudo-terminal whose far end, in raw mode, is linked at link.
func openPTY(link string) (*pty, error) {
	near, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, fmt.Errorf("pseudo-terminal: %w", err)
	}
	p := &pty{File: near, link: link}
	if err := p.connect(); err != nil {
		_ = p.Close() // it was never used
		return nil, fmt.Errorf("pseudo-terminal %s: %w", link, err)
	}
	return p, nil
}

func (p *pty) connect() error {
	raw, err := p.SyscallConn()
	if err != nil {
		return err
	}
	var n int
	err = control(raw.Control, func(fd int) error {
		if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
			return err
		}
		n, err = unix.IoctlGetInt(fd, unix.TIOCGPTN)
		return err
	})
	if err != nil {
		return err
	}
	name := fmt.Sprintf("/dev/pts/%d", n)
	if p.far, err = os.OpenFile(name, os.O_RDWR|unix.O_NOCTTY, 0); err != nil {
		return err
	}
	if raw, err = p.far.SyscallConn(); err != nil {
		return err
	}
	if err := control(raw.Control, makeRaw); err != nil {
		return err
	}
	if old, err := os.Readlink(p.link); err == nil && strings.HasPrefix(old, "/dev/pts/") {
		_ = os.Remove(p.link) // of a run before; Symlink says if it could not
	}
	return os.Symlink(name, p.link)
}

// control runs do on the descriptor.
func control(run func(func(uintptr)) error, do func(fd int) error) error {
	var err error
	if e := run(func(fd uintptr) { err = do(int(fd)) }); e != nil {
		return e
	}
	return err
}

// makeRaw lets bytes through as they are, as cfmakeraw(3) does.
func makeRaw(fd int) error {
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

// Close removes the link, too, unless somebody else has put another there.
func (p *pty) Close() error {
	if p.far != nil {
		if at, err := os.Readlink(p.link); err == nil && at == p.far.Name() {
			_ = os.Remove(p.link) // a link that stays leads nowhere
		}
		_ = p.far.Close() // nothing was written to it
	}
	return p.File.Close()
}
