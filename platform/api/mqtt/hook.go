package mqtt

import (
	"crypto/subtle"
	"errors"
	"fmt"
	"time"

	mochi "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/packets"

	"yunchu/platform/auth"
	"yunchu/platform/device"
)

// Why a connection is ended by us.
var (
	endRevoked   = packets.ErrNotAuthorized
	endTakenOver = packets.ErrSessionTakenOver
)

// tokenUser is the user name of those who are no device.
const tokenUser = "token"

// hook is what the library asks.
type hook struct {
	mochi.HookBase
	b *Broker
}

// ID implements mochi.Hook.
func (*hook) ID() string { return "plant" }

// Provides implements mochi.Hook.
func (*hook) Provides(what byte) bool {
	switch what {
	case mochi.OnConnect, mochi.OnConnectAuthenticate, mochi.OnACLCheck, mochi.OnSessionEstablish,
		mochi.OnPacketRead, mochi.OnPacketEncode, mochi.OnSubscribed, mochi.OnUnsubscribed, mochi.OnPublish, mochi.OnPublishDropped, mochi.OnWill:
		return true
	}
	return false
}

func sessionOf(cl *mochi.Client) *session {
	if c, ok := cl.Net.Conn.(*conn); ok {
		return c.session
	}
	return nil // the library's own client
}

// OnConnect finds out who it is. The library would ask in OnConnectAuthenticate and knows
// one answer only.
func (h *hook) OnConnect(cl *mochi.Client, pk packets.Packet) error {
	p, code, err := h.b.identify(cl, &pk)
	if err == nil && pk.Connect.WillFlag && !mayPublish(p, pk.Connect.WillTopic) {
		code, err = packets.ErrNotAuthorized, fmt.Errorf("the will is not for %.80q to send", pk.Connect.WillTopic)
	}
	if err != nil {
		h.b.metrics.denied.Inc()
		h.b.log.Debug("MQTT client refused", "remote", cl.Net.Remote, "user", fmt.Sprintf("%.64q", pk.Connect.Username), "error", err)
		_ = h.b.mochi.SendConnack(cl, code, false, nil) // it is gone otherwise
		return code
	}
	name := p.Name + "/" + cl.ID
	// Unique: the library's way to let one connection take over from another moves
	// messages, which may be of somebody else, and may lose the new one.
	cl.ID = fmt.Sprintf("%s/%d", name, h.b.events.Add(1))
	cl.Properties.Will.WillDelayInterval = 0
	cl.Net.Conn.(*conn).session = newSession(h.b, cl, p, name)
	return nil
}

// identify finds who a client speaks for.
func (b *Broker) identify(cl *mochi.Client, pk *packets.Packet) (*auth.Principal, packets.Code, error) {
	user, password := string(pk.Connect.Username), string(pk.Connect.Password)
	c, ok := cl.Net.Conn.(*conn)
	if !ok {
		return nil, packets.ErrNotAuthorized, errNoDrivers
	}
	cert := c.certificate()
	certified, name := cert != nil, ""
	if certified {
		name = string(auth.CertifiedDevice(cert))
	}
	if certified && password == "" {
		id := device.ID(name)
		if _, known := b.registry.Slot(id); !known || !id.Valid() {
			return nil, packets.ErrNotAuthorized, fmt.Errorf("the certificate is of %.64q, which is no device here", name)
		}
		p := b.api.Certified(cert)
		if p == nil {
			return nil, packets.ErrNotAuthorized, errors.New("the certificate has expired")
		}
		return p, packets.CodeSuccess, nil
	}
	p, err := b.api.Principal(password)
	if err != nil {
		return nil, packets.ErrBadUsernameOrPassword, err
	}
	want := tokenUser
	if p.Device != "" {
		want = string(p.Device)
	}
	switch {
	case subtle.ConstantTimeCompare([]byte(user), []byte(want)) != 1:
		return nil, packets.ErrBadUsernameOrPassword, fmt.Errorf("the token belongs to the user %s", want)
	case certified && p.Device != "" && string(p.Device) != name:
		return nil, packets.ErrNotAuthorized, fmt.Errorf("the certificate is of %.64q, the token of %s", name, p.Device)
	case !p.May(auth.Read) && !p.May(auth.Ingest):
		return nil, packets.ErrNotAuthorized, fmt.Errorf("the role %s has nothing to do here", p.Role)
	}
	return p, packets.CodeSuccess, nil
}

// OnConnectAuthenticate implements mochi.Hook.
func (*hook) OnConnectAuthenticate(cl *mochi.Client, _ packets.Packet) bool {
	return sessionOf(cl) != nil
}

// OnSessionEstablish is called before the CONNACK: a client that has it and connects again
// is the newer one.
func (h *hook) OnSessionEstablish(cl *mochi.Client, _ packets.Packet) {
	if s := sessionOf(cl); s != nil {
		h.b.enter(s)
	}
}

// dismiss ends a connection. It does not wait for it: its peer may take nothing.
func (b *Broker) dismiss(s *session, why packets.Code) {
	if !s.v5 {
		s.client.Stop(why)
		return
	}
	b.works.Go(func() {
		_ = s.client.Net.Conn.SetDeadline(time.Now().Add(time.Second))
		_ = b.mochi.DisconnectClient(s.client, why) // it returns why
	})
}

// OnACLCheck implements mochi.Hook.
func (h *hook) OnACLCheck(cl *mochi.Client, topic string, write bool) bool {
	s := sessionOf(cl)
	if s == nil {
		return cl.Net.Inline
	}
	ok := write && mayPublish(s.by, topic) || !write && mayHear(s.by, topic)
	if !ok {
		h.b.metrics.forbidden.Inc()
	}
	return ok
}

// OnPacketRead implements mochi.Hook.
func (h *hook) OnPacketRead(cl *mochi.Client, pk packets.Packet) (packets.Packet, error) {
	switch {
	case pk.FixedHeader.Type == packets.Connect:
		pk.Connect.Clean = true // nothing is kept for those who are away
		pk.Properties.SessionExpiryInterval = 0
	case pk.FixedHeader.Type == packets.Publish && pk.FixedHeader.Qos > 1:
		// The library would answer as if it had been another, which its sender does not
		// understand.
		if s := sessionOf(cl); s != nil {
			h.b.dismiss(s, packets.ErrQosNotSupported)
		}
		return pk, packets.ErrRejectPacket
	}
	return pk, nil
}

// OnPacketEncode implements mochi.Hook.
func (h *hook) OnPacketEncode(_ *mochi.Client, pk packets.Packet) packets.Packet {
	if pk.FixedHeader.Type == packets.Connack && pk.ReasonCode == packets.CodeSuccess.Code {
		pk.Properties.RetainAvailable, pk.Properties.RetainAvailableFlag = 0, true
		pk.Properties.SharedSubAvailable, pk.Properties.SharedSubAvailableFlag = 0, true
		pk.Properties.MaximumPacketSize = h.b.mochi.Options.Capabilities.MaximumPacketSize
	}
	return pk
}

// OnSubscribed implements mochi.Hook.
func (h *hook) OnSubscribed(cl *mochi.Client, pk packets.Packet, reasons []byte) {
	s := sessionOf(cl)
	for i := range pk.Filters {
		if s != nil && reasons[i] < packets.ErrUnspecifiedError.Code {
			s.listens(h.b.life, pk.Filters[i].Filter)
		}
	}
}

// OnUnsubscribed implements mochi.Hook.
func (h *hook) OnUnsubscribed(cl *mochi.Client, pk packets.Packet) {
	s := sessionOf(cl)
	for i := range pk.Filters {
		if s != nil {
			s.leaves(pk.Filters[i].Filter)
		}
	}
}

// OnPublish implements mochi.Hook. What clients send is answered by their session; the
// library hands it to nobody.
func (h *hook) OnPublish(cl *mochi.Client, pk packets.Packet) (packets.Packet, error) {
	s := sessionOf(cl)
	if s == nil {
		return pk, nil
	}
	s.take(&pk)
	return pk, packets.ErrRejectPacket
}

// OnPublishDropped implements mochi.Hook.
func (h *hook) OnPublishDropped(*mochi.Client, packets.Packet) { h.b.metrics.dropped.Inc() }

// OnWill takes the will as if the client had sent it now.
func (h *hook) OnWill(cl *mochi.Client, w mochi.Will) (mochi.Will, error) {
	if s := sessionOf(cl); s != nil && mayPublish(s.by, w.TopicName) {
		s.take(&packets.Packet{TopicName: w.TopicName, Payload: w.Payload, FixedHeader: packets.FixedHeader{Retain: w.Retain}})
	}
	w.TopicName, w.Retain = "$will", false // nobody hears that
	return w, nil
}
