package scenario

import (
	"maps"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// reachedBy are the address schemes of a device kind.
var reachedBy = map[string][]string{
	Modbus:  {"tcp", "tls", "rtu"},
	SunSpec: {"tcp", "tls", "rtu"},
	CAN:     {"slcan", "socketcand", "socketcan"},
	MMS:     {"tcp", "tls"},
	MQTT:    {"mqtt", "mqtts"},
}

// servedBy are the address schemes a served face may listen on.
var servedBy = map[string][]string{
	SunSpec: {"tcp", "tls"},
	Modbus:  {"tcp", "tls"},
	"rtu":   {"pty", "rtu"},
	CAN:     {"pty", "slcan", "socketcand", "socketcan"},
	MQTT:    {"mqtt", "mqtts"},
	MMS:     {"tcp", "tls"},
}

var addressExample = map[string]string{
	Modbus: "tcp://127.0.0.1:502", SunSpec: "tcp://127.0.0.1:502", CAN: "socketcan://can0",
	MMS:   "tcp://127.0.0.1:102",
	"tcp": "tcp://127.0.0.1:1502", "tls": "tls://127.0.0.1:802", "rtu": "rtu:///dev/ttyUSB0?baud=115200",
	"pty": "pty://./name", "slcan": "slcan:///dev/ttyACM0", "socketcand": "socketcand://127.0.0.1:29536/can0",
	"socketcan": "socketcan://can0", "mqtt": "mqtt://127.0.0.1:1883", "mqtts": "mqtts://127.0.0.1:8883",
}

// address checks the form of an address against the schemes its kind can use.
func (s *source) address(at, addr, kind string, schemes []string) {
	u, err := url.Parse(addr)
	if err != nil || u.Scheme == "" || !strings.Contains(addr, "://") {
		s.wrong(at, "write it as "+addressExample[schemes[0]], "%q is not an address", short(addr))
		return
	}
	if !slices.Contains(schemes, u.Scheme) {
		s.wrong(at, "known: "+strings.Join(schemes, "://, ")+"://", "%s is not reached by %s://", kind, u.Scheme)
		return
	}
	like := "write it as " + addressExample[u.Scheme]
	if u.User != nil {
		s.wrong(at, "user and password_file are keys of their own", "the address holds a user")
	}
	s.parameters(at, u)
	switch u.Scheme {
	case "tcp", "tls", "mqtt", "mqtts", "socketcand":
		s.hostPort(at, u.Host, like)
		if u.Scheme != "socketcand" && strings.Trim(u.Path, "/") != "" {
			s.wrong(at, like, "nothing may follow the port: %q", short(u.Path))
		}
		if u.Scheme == "socketcand" && strings.Trim(u.Path, "/") == "" {
			s.wrong(at, like, "a socketcand address names the bus after the port")
		}
	case "rtu", "pty", "slcan":
		if u.Host+strings.Trim(u.Path, "/") == "" || strings.HasSuffix(u.Path, "/") {
			s.wrong(at, like, "the address names no device file after %s://", u.Scheme)
		}
	case "socketcan":
		if u.Host == "" {
			s.wrong(at, like, "a socketcan address names the interface")
		}
	}
}

// serial and lines are the parameters of addresses on serial lines, and what they may be; of a speed
// any number above 0.
var (
	serial = map[string][]string{"baud": nil, "data": {"7", "8"}, "parity": {"none", "even", "odd"}, "stop": {"1", "2"}}
	lines  = map[string]map[string][]string{"rtu": serial, "pty": serial, "slcan": {"baud": nil}}
)

// parameters checks what stands behind the question mark.
func (s *source) parameters(at string, u *url.URL) {
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil || u.Fragment != "" {
		s.wrong(at, "write it as "+addressExample[u.Scheme], "what follows the address cannot be read")
		return
	}
	known := lines[u.Scheme]
	names := slices.Sorted(maps.Keys(known))
	for _, name := range slices.Sorted(maps.Keys(query)) {
		value := query.Get(name)
		values, ok := known[name]
		n, err := strconv.Atoi(value)
		switch {
		case len(known) == 0:
			s.wrong(at, "leave it out: "+u.Scheme+":// has no parameters", "the address has a parameter %q", short(name))
		case !ok:
			s.wrong(at, suggest(name, names), "%s:// has no parameter %q", u.Scheme, short(name))
		case values == nil && (err != nil || n <= 0):
			s.wrong(at, "write it as "+addressExample["rtu"], "%q is not a baud rate", short(value))
		case values != nil && !slices.Contains(values, value):
			s.wrong(at, "known: "+strings.Join(values, ", "), "%s cannot be %s", name, short(value))
		}
	}
}

// hostPort checks host:port; the port must be there.
func (s *source) hostPort(at, hostport, hint string) {
	host, port, err := net.SplitHostPort(hostport)
	if err != nil {
		s.wrong(at, hint, "the address has no port: %q", hostport)
		return
	}
	if n, err := strconv.Atoi(port); err != nil || n < 0 || n > 65535 {
		s.wrong(at, "ports go from 0 to 65535", "%q is not a port", port)
	}
	if strings.ContainsAny(host, " /") {
		s.wrong(at, hint, "%q is not a host", host)
	}
}
