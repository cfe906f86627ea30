package exchange

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"regexp"
)

// ErrAddress is a place where no market can be, or where a token must not go.
var ErrAddress = errors.New("no address for a market")

// addressForm is what nobody means as a folder: a scheme of a URL, or a host and a port.
var addressForm = regexp.MustCompile(`^([A-Za-z][A-Za-z0-9+.-]+:/|[^/\\]+:[0-9]+(/|$))`)

// Open is the gateway to a market at a URL, or else in a folder. The token, where there is one,
// is for a URL.
func Open(to, token string) (Gateway, error) {
	if !addressForm.MatchString(to) {
		return Folder{Dir: to}, nil
	}
	if err := checkAddress(to, token); err != nil {
		return nil, err
	}
	return &Client{URL: to, Token: token}, nil
}

// checkAddress is an error where nothing can be sent, or a token would be for all to read.
func checkAddress(to, token string) error {
	u, err := url.Parse(to)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" {
		return fmt.Errorf("%w: %s: write a URL as https://market.example, a folder as ./folder", ErrAddress, to)
	}
	if token != "" && u.Scheme != "https" && !here(u.Hostname()) {
		return fmt.Errorf("%w: %s: a token goes over https, or to this computer", ErrAddress, u.Redacted())
	}
	return nil
}

// here tells whether a host is this computer.
func here(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}
