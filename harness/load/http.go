package load

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http/httputil"
	"strconv"
	"time"

	"github.com/gorilla/websocket"
)

// maxAnswer is how much of the body of an answer is looked at.
const maxAnswer = 64 << 10

// link is a connection with a reader and a deadline that is set seldom, since
// every setting moves a timer.
type link struct {
	conn     net.Conn
	in       *bufio.Reader
	deadline time.Time
}

// open dials, over TLS where there is a configuration for it.
func (l *link) open(ctx context.Context, t *Target, address string, secure *tls.Config) error {
	if l.conn != nil {
		return nil
	}
	c, err := t.Dial(ctx, address)
	if err != nil {
		return err
	}
	if secure != nil {
		s := tls.Client(c, secure)
		if err := s.HandshakeContext(ctx); err != nil {
			return errors.Join(err, c.Close())
		}
		c = s
	}
	l.conn, l.deadline = c, time.Time{}
	if l.in == nil {
		l.in = bufio.NewReaderSize(c, 1024)
	} else {
		l.in.Reset(c)
	}
	return nil
}

// until bounds what is done on the link from now on, to the deadline or up to
// half of giveUp later.
func (l *link) until(deadline time.Time) error {
	if !l.deadline.Before(deadline) {
		return nil
	}
	l.deadline = deadline.Add(giveUp / 2)
	return l.conn.SetDeadline(l.deadline)
}

func (l *link) close() {
	if l.conn != nil {
		_ = l.conn.Close() // nothing is lost: what was answered is counted
		l.conn = nil
	}
}

func isEnd(err error) bool {
	if _, closed := errors.AsType[*websocket.CloseError](err); closed {
		return true
	}
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed)
}

// readAnswer reads an HTTP/1.1 response: its status, and of its body what fits
// into the buffer. Bodies have a length or come in chunks.
func readAnswer(in *bufio.Reader, body []byte) (status int, _ []byte, err error) {
	body = body[:0]
	line, err := in.ReadSlice('\n')
	if err != nil {
		return 0, body, err
	}
	if len(line) < 12 || !bytes.HasPrefix(line, []byte("HTTP/1.1 ")) {
		return 0, body, fmt.Errorf("not an HTTP answer: %.40q", line)
	}
	for _, d := range line[9:12] {
		if d < '0' || d > '9' {
			return 0, body, fmt.Errorf("not an HTTP answer: %.40q", line)
		}
		status = 10*status + int(d-'0')
	}
	length, chunked := -1, false
	for {
		if line, err = in.ReadSlice('\n'); err != nil {
			return 0, body, err
		}
		line = bytes.TrimRight(line, "\r\n")
		if len(line) == 0 {
			break
		}
		name, value, _ := bytes.Cut(line, []byte(":"))
		switch {
		case bytes.EqualFold(name, []byte("content-length")):
			if length, err = strconv.Atoi(string(bytes.TrimSpace(value))); err != nil || length < 0 {
				return 0, body, fmt.Errorf("content length %q", value)
			}
		case bytes.EqualFold(name, []byte("transfer-encoding")):
			chunked = bytes.EqualFold(bytes.TrimSpace(value), []byte("chunked"))
		}
	}
	switch {
	case chunked:
		body, err = readChunks(in, body)
		return status, body, err
	case status == 204:
		return status, body, nil
	case length < 0:
		return 0, body, errors.New("the answer has no length")
	}
	n := min(length, maxAnswer)
	if cap(body) < n {
		body = make([]byte, n)
	}
	body = body[:n]
	if _, err = io.ReadFull(in, body); err == nil {
		_, err = in.Discard(length - n)
	}
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return status, body, err
}

// readChunks reads a body in chunks, and the end of its trailer.
func readChunks(in *bufio.Reader, body []byte) ([]byte, error) {
	r := httputil.NewChunkedReader(in)
	w := bytes.NewBuffer(body)
	if _, err := io.Copy(w, io.LimitReader(r, maxAnswer)); err != nil {
		return w.Bytes(), err
	}
	if _, err := io.Copy(io.Discard, r); err != nil {
		return w.Bytes(), err
	}
	for {
		line, err := in.ReadSlice('\n')
		if err != nil || len(bytes.TrimRight(line, "\r\n")) == 0 {
			return w.Bytes(), err
		}
	}
}

// member finds the string member of that name in a JSON text, first come; it is
// for short answers of a server whose form is known.
func member(body []byte, name string) string {
	_, rest, found := bytes.Cut(body, []byte(`"`+name+`"`))
	if !found {
		return ""
	}
	rest, found = bytes.CutPrefix(bytes.TrimLeft(rest, " "), []byte(":"))
	rest, quoted := bytes.CutPrefix(bytes.TrimLeft(rest, " "), []byte(`"`))
	value, _, ended := bytes.Cut(rest, []byte(`"`))
	if !found || !quoted || !ended {
		return ""
	}
	return string(value)
}
