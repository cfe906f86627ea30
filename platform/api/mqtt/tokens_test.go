package mqtt_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/mochi-mqtt/server/v2/packets"

	"yunchu/platform/api"
	"yunchu/platform/api/mqtt"
	"yunchu/platform/auth"
	"yunchu/platform/auth/authtest"
)

func (w *world) login(role auth.Role) auth.Session {
	w.Helper()
	const password = "a long password"
	if err := w.auth.PutUser(w.Context(), time.Now(), role.String(), role, password, "test"); err != nil {
		w.Fatal(err)
	}
	s, err := w.auth.Login(w.Context(), time.Now(), "home", role.String(), password)
	if err != nil {
		w.Fatal(err)
	}
	return s
}

// TestSessionsOverMQTT: the access token of a session is a password here, what is forged
// is none, and a connection ends with its session.
func TestSessionsOverMQTT(t *testing.T) {
	w := open(t)
	s := w.login(auth.Operator)
	c, pk := w.dial(5, "token", s.Secret, "x")
	if pk.ReasonCode != 0 {
		t.Fatalf("CONNACK %#x", pk.ReasonCode)
	}
	for name, token := range authtest.Forgeries(t, s.Secret, time.Now()) {
		for _, version := range []byte{4, 5} {
			if _, pk := w.dial(version, "token", token, "forged"); pk.ReasonCode == 0 {
				t.Errorf("%s: taken in version %d", name, version)
			}
		}
	}
	if err := w.auth.Logout(t.Context(), "home", s.Refresh); err != nil {
		t.Fatal(err)
	}
	if pk := c.receive(); pk.FixedHeader.Type != packets.Disconnect || pk.ReasonCode != packets.ErrNotAuthorized.Code {
		t.Errorf("after the logout: packet %d, reason %#x", pk.FixedHeader.Type, pk.ReasonCode)
	}
	if _, pk := w.dial(5, "token", s.Secret, "x"); pk.ReasonCode == 0 {
		t.Error("the token of a session that is over is taken")
	}
}

// TestTopicMatrix sends to and listens on every topic with every role, about the own and a
// foreign device, with the token of a machine and, where people can have the role, that of
// a session.
func TestTopicMatrix(t *testing.T) {
	w := open(t)
	own, _ := w.device("d")
	w.device("other")
	at := time.Now().UnixMilli()
	type who struct {
		role        auth.Role
		user, token string
	}
	all := []who{{auth.Device, "d", own}}
	for _, role := range auth.Roles {
		if role == auth.Device {
			continue
		}
		machine, err := w.auth.Issue(t.Context(), time.Now(), "test", auth.Grant{Role: role})
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, who{role, "token", machine.Secret}, who{role, "token", w.login(role).Secret})
	}
	sends := map[auth.Role]bool{auth.Engineer: true, auth.Admin: true, auth.Device: true}
	commands := map[auth.Role]bool{auth.Operator: true, auth.Engineer: true, auth.Admin: true}
	const refused = 0x87
	for _, x := range all {
		c, pk := w.dial(5, x.user, x.token, "x")
		if pk.ReasonCode != 0 {
			t.Errorf("%s: CONNACK %#x", x.role, pk.ReasonCode)
			continue
		}
		for i, id := range []string{"d", "other"} {
			foreign := x.role == auth.Device && id != "d"
			for topic, tt := range map[string]struct {
				body string
				may  bool
			}{
				"data":    {reading(id, at+int64(i)), sends[x.role]},
				"ack":     {fmt.Sprintf(`{"deviceId":%q,"commandId":"c","status":"done","timestamp":%d}`, id, at), sends[x.role]},
				"event":   {fmt.Sprintf(`{"deviceId":%q,"eventId":"e","eventType":"t","severity":"info","description":"x","timestamp":%d}`, id, at), sends[x.role]},
				"control": {fmt.Sprintf(`{"deviceId":%q,"commandId":"c","command":"stop"}`, id), commands[x.role]},
				"other":   {"{}", false},
			} {
				c.publish(1, "device/"+id+"/"+topic, tt.body)
				pk := c.answer(packets.Puback)
				if may := tt.may && !foreign; (pk.ReasonCode != refused) != may {
					t.Errorf("%s sends to %s of %s: reason %#x; may %v", x.role, topic, id, pk.ReasonCode, may)
				}
			}
			for _, topic := range []string{"data", "ack", "event", "control"} {
				may := x.role != auth.Device || topic == "control" && !foreign
				c.send(packets.Packet{
					FixedHeader: packets.FixedHeader{Type: packets.Subscribe, Qos: 1}, PacketID: 999,
					Filters: packets.Subscriptions{{Filter: "device/" + id + "/" + topic, Qos: 1}},
				})
				if pk := c.answer(packets.Suback); len(pk.ReasonCodes) != 1 || pk.ReasonCodes[0] < 0x80 != may {
					t.Errorf("%s listens on %s of %s: %v, may %v", x.role, topic, id, pk.ReasonCodes, may)
				}
			}
		}
		_ = c.Close()
	}
}

// TestMessagesAreBounded: a device that sends or an operator who commands too often is told
// to wait, over MQTT as over HTTP.
func TestMessagesAreBounded(t *testing.T) {
	w := open(t, func(o *mqtt.Options) {
		slow := api.Rate{PerSecond: 0.001, Burst: 1}
		o.API.SetLimits(api.Limits{Telemetry: slow, Commands: slow})
	})
	token, _ := w.device("d")
	at := time.Now().UnixMilli()
	c, _ := w.dial(5, "d", token, "x")
	op, _ := w.dial(5, "token", engineer, "y")
	for i, limited := range []bool{false, true} {
		c.publish(1, "device/d/data", reading("d", at+int64(i)))
		op.publish(1, "device/d/control", fmt.Sprintf(`{"deviceId":"d","commandId":"c%d","command":"stop"}`, i))
		for name, pk := range map[string]packets.Packet{"a reading": c.answer(packets.Puback), "a command": op.answer(packets.Puback)} {
			if got := pk.ReasonCode == packets.ErrQuotaExceeded.Code; got != limited {
				t.Errorf("%s, message %d: reason %#x", name, i, pk.ReasonCode)
			}
		}
	}
}

// answer is the next packet of the kind; what is published meanwhile is passed over.
func (r *raw) answer(kind byte) packets.Packet {
	r.Helper()
	for {
		if pk := r.receive(); pk.FixedHeader.Type != packets.Publish {
			if pk.FixedHeader.Type != kind {
				r.Fatalf("packet %d, want %d", pk.FixedHeader.Type, kind)
			}
			return pk
		}
	}
}
