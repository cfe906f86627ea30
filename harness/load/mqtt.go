package load

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"time"
)

// keepAlive is what the broker is told; a connection at rest says something twice
// as often.
const keepAlive = 60 * time.Second

// Types of MQTT 5 packets, in the upper half of the first byte.
const (
	mqttConnect  = 1
	mqttConnAck  = 2
	mqttPublish  = 3
	mqttPubAck   = 4
	mqttPingReq  = 12
	mqttPingResp = 13
	mqttBye      = 14
)

// maxPacket is the largest packet of a broker that is read. One that publishes
// nothing to us has nothing long to say.
const maxPacket = 64 << 10

// publisher is an MQTT 5 client that publishes with QoS 1 and waits for each
// PUBACK. Its user goes through one message at a time, so that what a library
// needs goroutines and queues for is a write and a read.
type publisher struct {
	link
	spec     *Spec
	readings *readings
	packet   uint16
	out      []byte
	body     []byte
	answer   []byte
	topics   [][]byte // of its devices
}

func newPublisher(s *Spec, r *readings) *publisher {
	p := &publisher{spec: s, readings: r}
	for i := range r.devices {
		p.topics = append(p.topics, []byte("device/"+r.devices[i].id+"/data"))
	}
	return p
}

func (p *publisher) acknowledged(into map[string][]int64) { p.readings.acknowledged(into) }

func (p *publisher) restEvery() time.Duration { return keepAlive / 2 }

func (p *publisher) connect(ctx context.Context) error {
	if p.conn != nil {
		return nil
	}
	id := p.readings.devices[0].id
	user, password := "token", p.spec.Token
	if p.spec.Password != nil {
		var err error
		if password, err = p.spec.Password(id); err != nil {
			return fmt.Errorf("password of %s: %w", id, err)
		}
		user = id
	}
	if err := p.open(ctx, &p.spec.Target, p.spec.Broker, p.spec.BrokerTLS); err != nil {
		return err
	}
	if err := p.greet(id, user, password); err != nil {
		p.close()
		return err
	}
	return nil
}

// greet sends CONNECT and reads CONNACK.
func (p *publisher) greet(id, user, password string) error {
	if err := p.until(time.Now().Add(giveUp)); err != nil {
		return err
	}
	const cleanStart, hasPassword, hasUser = 1 << 1, 1 << 6, 1 << 7
	b := appendText(nil, "MQTT")
	b = append(b, 5, cleanStart|hasPassword|hasUser)
	b = binary.BigEndian.AppendUint16(b, uint16(keepAlive/time.Second))
	b = append(b, 0) // no properties
	for _, text := range []string{id, user, password} {
		b = appendText(b, text)
	}
	p.out = appendPacket(p.out[:0], mqttConnect<<4, len(b))
	if _, err := p.conn.Write(append(p.out, b...)); err != nil {
		return err
	}
	kind, body, err := p.read()
	switch {
	case err != nil:
		return err
	case kind != mqttConnAck || len(body) < 2:
		return fmt.Errorf("the broker answers CONNECT with a packet of type %d", kind)
	case body[1] != 0:
		return fmt.Errorf("the broker refuses %s: reason %#02x", id, body[1])
	}
	return nil
}

func (p *publisher) exchange(now, deadline time.Time) (items int, code string, err error) {
	if p.packet++; p.packet == 0 {
		p.packet = 1
	}
	topic := p.topics[p.readings.turn]
	p.body = p.readings.append(p.body[:0], now)
	p.out = appendPacket(p.out[:0], mqttPublish<<4|1<<1, 2+len(topic)+2+1+len(p.body))
	p.out = binary.BigEndian.AppendUint16(p.out, uint16(len(topic)))
	p.out = append(p.out, topic...)
	p.out = binary.BigEndian.AppendUint16(p.out, p.packet)
	p.out = append(p.out, 0) // no properties
	p.out = append(p.out, p.body...)
	if err := p.until(deadline); err != nil {
		return 0, "", err
	}
	if _, err := p.conn.Write(p.out); err != nil {
		return 0, "", err
	}
	for {
		kind, body, err := p.read()
		switch {
		case err != nil:
			return 0, "", err
		case kind == mqttPingResp: // late
		case kind == mqttBye:
			return 0, "", fmt.Errorf("the broker ends the connection: reason %s: %w", reasonOf(body, 0), io.EOF)
		case kind != mqttPubAck || len(body) < 2:
			return 0, "", fmt.Errorf("the broker answers PUBLISH with a packet of type %d", kind)
		case binary.BigEndian.Uint16(body) != p.packet:
			return 0, "", errors.New("the broker acknowledges another message")
		case len(body) > 2 && body[2] >= 0x80:
			return 0, "reason " + reasonOf(body, 2), nil
		default:
			return p.readings.taken(), "", nil
		}
	}
}

// reasonOf is the reason code at a place of a packet, as the standard writes it.
func reasonOf(body []byte, at int) string {
	if at >= len(body) {
		return "0x00"
	}
	return fmt.Sprintf("0x%02X", body[at])
}

func (p *publisher) rest(deadline time.Time) error {
	if err := p.until(deadline); err != nil {
		return err
	}
	if _, err := p.conn.Write([]byte{mqttPingReq << 4, 0}); err != nil {
		return err
	}
	kind, _, err := p.read()
	if err == nil && kind != mqttPingResp {
		err = fmt.Errorf("the broker answers PINGREQ with a packet of type %d", kind)
	}
	return err
}

// read reads one packet; its body is good until the next one is read.
func (p *publisher) read() (kind byte, body []byte, err error) {
	head, err := p.in.ReadByte()
	if err != nil {
		return 0, nil, err
	}
	n, err := readLength(p.in)
	if err != nil {
		return 0, nil, err
	}
	if n > maxPacket {
		return 0, nil, fmt.Errorf("the broker sends a packet of %d bytes", n)
	}
	if cap(p.answer) < n {
		p.answer = make([]byte, n)
	}
	p.answer = p.answer[:n]
	if _, err := io.ReadFull(p.in, p.answer); err != nil {
		return 0, nil, io.ErrUnexpectedEOF
	}
	return head >> 4, p.answer, nil
}

// readLength reads a length of MQTT: seven bits a byte, the lowest first, at most four.
func readLength(in io.ByteReader) (n int, err error) {
	for shift := 0; shift < 28; shift += 7 {
		b, err := in.ReadByte()
		if err != nil {
			return 0, err
		}
		n |= int(b&0x7f) << shift
		if b&0x80 == 0 {
			return n, nil
		}
	}
	return 0, errors.New("a length of more than four bytes")
}

// appendPacket begins a packet of so many bytes behind its length.
func appendPacket(b []byte, first byte, n int) []byte {
	b = append(b, first)
	for n >= 0x80 {
		b = append(b, byte(n)|0x80)
		n >>= 7
	}
	return append(b, byte(n))
}

func appendText(b []byte, s string) []byte {
	return append(binary.BigEndian.AppendUint16(b, uint16(len(s))), s...)
}
