package auth

import (
	"crypto/x509"
	"strings"
	"time"

	"yunchu/platform/device"
)

// deviceURN begins the URI of a certificate that names a device.
const deviceURN = "urn:yunchu:device:"

// CertifiedDevice is the device that a client certificate names: by its first URI
// urn:yunchu:device:ID, or else by its common name. Empty when that is no id.
func CertifiedDevice(c *x509.Certificate) device.ID {
	id := device.ID(c.Subject.CommonName)
	for _, u := range c.URIs {
		if name, ok := strings.CutPrefix(u.String(), deviceURN); ok {
			id = device.ID(name)
			break
		}
	}
	if !id.Valid() {
		return ""
	}
	return id
}

// Certified is who a verified client certificate speaks for, nil when it names no device
// or has expired.
func (a *Authority) Certified(c *x509.Certificate, now time.Time) *Principal {
	id := CertifiedDevice(c)
	if id == "" || now.After(c.NotAfter) {
		return nil
	}
	text := string(c.Raw)
	if p := a.seen.get(text); p != nil {
		return p
	}
	p := a.principal(Principal{Name: "device:" + string(id), Role: Device, Device: id, Expires: c.NotAfter.UnixMilli()})
	a.seen.put(text, p, now)
	return p
}

// Spokesman is who speaks for what another program of the plant's has let in, such as a
// broker: for one device, or with a role for all of them where the id is empty. It has no
// token, and never expires.
func (a *Authority) Spokesman(name string, role Role, id device.ID) *Principal {
	return a.principal(Principal{Name: name, Role: role, Device: id})
}
