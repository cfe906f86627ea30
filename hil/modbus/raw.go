package modbus

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	lib "github.com/simonvetter/modbus"

	"yunchu/platform/device"
)

// Raw implements the interface of that name. The link is closed before, so that devices
// with one connection take this one, and opened anew by the next request.
func (c *conn) Raw(ctx context.Context, unit byte, pdu []byte) ([]byte, error) {
	if err := c.may(ctx); err != nil {
		return nil, err
	}
	if len(pdu) < 1 || len(pdu) > MaxPDU {
		return nil, fmt.Errorf("a message of %d bytes: %w", len(pdu), ErrMalformed)
	}
	ctx, cancel := context.WithTimeout(ctx, c.opt.Timeout)
	defer cancel()
	k := c.link
	if err := k.take(ctx); err != nil {
		return nil, fmt.Errorf("%w: %w", device.ErrOffline, err)
	}
	defer k.give()
	if k.ending != nil {
		return nil, fmt.Errorf("%w: %w", device.ErrOffline, errBusy)
	}
	if err := k.hangUp(); err != nil {
		return nil, fmt.Errorf("%w: %w", device.ErrOffline, err)
	}
	var answer []byte
	var err error
	if k.to.device != "" {
		answer, err = k.rawSerial(ctx, unit, pdu)
	} else {
		answer, err = k.to.rawTCP(ctx, unit, pdu)
	}
	if err != nil {
		k.silence(k.timeout)
		return nil, fmt.Errorf("%w: %w", device.ErrOffline, err)
	}
	return answer, nil
}

func (t *target) rawTCP(ctx context.Context, unit byte, pdu []byte) ([]byte, error) {
	var dial interface {
		DialContext(ctx context.Context, network, addr string) (net.Conn, error)
	} = &net.Dialer{}
	if t.secure {
		dial = &tls.Dialer{Config: &tls.Config{Certificates: []tls.Certificate{*t.cert}, RootCAs: t.roots, MinVersion: tls.VersionTLS12}}
	}
	c, err := dial.DialContext(ctx, "tcp", t.host)
	if err != nil {
		return nil, err
	}
	defer c.Close() //nolint:errcheck // nothing is expected any more
	stop := context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	const transaction = 1
	if _, err := c.Write(AppendTCP(nil, transaction, unit, pdu)); err != nil {
		return nil, err
	}
	tx, _, answer, err := ReadTCP(bufio.NewReader(c), make([]byte, MaxPDU))
	switch {
	case err != nil && ctx.Err() != nil:
		return nil, lib.ErrRequestTimedOut
	case err != nil:
		return nil, err
	case tx != transaction:
		return nil, lib.ErrBadTransactionId
	}
	return answer, nil
}

func (k *link) rawSerial(ctx context.Context, unit byte, pdu []byte) ([]byte, error) {
	if err := drain(&k.to, k.quiet); err != nil {
		return nil, err
	}
	p, err := openSerial(&k.to)
	if err != nil {
		return nil, err
	}
	defer p.Close() //nolint:errcheck // nothing is expected any more
	if _, err := p.Write(AppendRTU(nil, unit, pdu)); err != nil {
		return nil, err
	}
	if err := p.SetReadTimeout(Pause); err != nil {
		return nil, err
	}
	var frame []byte
	buf := make([]byte, MaxRTU)
	for ctx.Err() == nil {
		n, err := p.Read(buf)
		if err != nil {
			return nil, err
		}
		if frame = append(frame, buf[:n]...); n > 0 || len(frame) == 0 {
			continue
		}
		from, answer, err := ParseRTU(frame)
		if err == nil && from != unit {
			err = lib.ErrBadUnitId
		}
		return answer, err
	}
	return nil, lib.ErrRequestTimedOut
}

// Timeout reports whether an exchange failed because no answer came in time.
func Timeout(err error) bool {
	return errors.Is(err, lib.ErrRequestTimedOut) || errors.Is(err, context.DeadlineExceeded) || os.IsTimeout(err)
}
