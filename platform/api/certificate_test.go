package api_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// authority signs certificates of clients.
type authority struct {
	t    testing.TB
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
}

func newAuthority(t testing.TB) *authority {
	a := &authority{t: t}
	a.cert = &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority"}, NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	pair := a.sign(a.cert)
	a.key = pair.PrivateKey.(*ecdsa.PrivateKey)
	var err error
	if a.cert, err = x509.ParseCertificate(pair.Certificate[0]); err != nil {
		t.Fatal(err)
	}
	return a
}

// sign signs with the authority's key, or with the certificate's own.
func (a *authority) sign(c *x509.Certificate) tls.Certificate {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	signer := a.key
	if signer == nil {
		signer = key
	}
	der, err := x509.CreateCertificate(rand.Reader, c, a.cert, key.Public(), signer)
	if err != nil {
		a.t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

func (a *authority) client(name string, uris ...string) tls.Certificate {
	c := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: name}, NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	for _, s := range uris {
		u, err := url.Parse(s)
		if err != nil {
			a.t.Fatal(err)
		}
		c.URIs = append(c.URIs, u)
	}
	return a.sign(c)
}

// TestCertifiedDevice: a certificate is as good as the token of its device, and no more.
func TestCertifiedDevice(t *testing.T) {
	w, a := newWorld(t), newAuthority(t)
	server := httptest.NewUnstartedServer(w.server)
	server.TLS = &tls.Config{MinVersion: tls.VersionTLS13, ClientAuth: tls.VerifyClientCertIfGiven, ClientCAs: x509.NewCertPool()}
	server.TLS.ClientCAs.AddCert(a.cert)
	server.StartTLS()
	t.Cleanup(server.Close)
	config := func(pair *tls.Certificate) *tls.Config {
		c := server.Client().Transport.(*http.Transport).TLSClientConfig.Clone()
		if pair != nil {
			c.Certificates = []tls.Certificate{*pair}
		}
		return c
	}
	ask := func(pair *tls.Certificate, method, path, body string, headers ...string) int {
		t.Helper()
		transport := &http.Transport{TLSClientConfig: config(pair)}
		defer transport.CloseIdleConnections()
		r, err := http.NewRequestWithContext(t.Context(), method, server.URL+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/json")
		for i := 0; i+1 < len(headers); i += 2 {
			r.Header.Set(headers[i], headers[i+1])
		}
		got, err := (&http.Client{Transport: transport, Timeout: hung}).Do(r)
		if err != nil {
			return 0
		}
		_ = got.Body.Close()
		return got.StatusCode
	}
	reading := func(id string) string {
		return fmt.Sprintf(`{"deviceId":%q,"timestamp":%d,"data":{"soc":50,"voltage":400,"current":0,"power":0,"temperature":25,"status":"idle"}}`, id, start)
	}
	const sync, query = "/api/v1/device/data/sync", `{"query":"{ devices(first: 1) { items { id } } }"}`
	mine, byURI := a.client("MINE"), a.client("somebody", "urn:yunchu:device:MINE")
	stranger, other := a.client("NOBODY"), newAuthority(t).client("MINE")
	for _, tt := range []struct {
		name               string
		pair               *tls.Certificate
		method, path, body string
		headers            []string
		want               int
	}{
		{"own reading", &mine, "POST", sync, reading("MINE"), nil, 200},
		{"own reading by URI", &byURI, "POST", sync, reading("MINE"), nil, 200},
		{"foreign reading", &mine, "POST", sync, reading("FOREIGN"), nil, 403},
		{"command", &mine, "POST", "/api/v1/device/control", `{}`, nil, 403},
		{"users", &mine, "GET", "/api/v1/users", "", nil, 403},
		{"query", &mine, "POST", "/graphql", query, nil, 200},
		{"unregistered", &stranger, "POST", sync, reading("NOBODY"), nil, 401},
		{"another authority's", &other, "POST", sync, reading("MINE"), nil, 0},
		{"from a foreign page", &mine, "POST", sync, reading("MINE"), []string{"Sec-Fetch-Site", "cross-site"}, 403},
		{"a wrong token as well", &mine, "POST", sync, reading("MINE"), []string{"Authorization", "Bearer wrong"}, 401},
		{"the token decides", &mine, "GET", "/api/v1/users", "", []string{"Authorization", "Bearer " + w.tokens["admin"]}, 200},
		{"neither", nil, "POST", sync, reading("MINE"), nil, 401},
		{"token without certificate", nil, "GET", "/api/v1/users", "", []string{"Authorization", "Bearer " + w.tokens["admin"]}, 200},
	} {
		if got := ask(tt.pair, tt.method, tt.path, tt.body, tt.headers...); got != tt.want {
			t.Errorf("%s: %d, want %d", tt.name, got, tt.want)
		}
	}
	for want, pair := range map[int]*tls.Certificate{101: &mine, 401: &stranger} {
		dialer := websocket.Dialer{TLSClientConfig: config(pair), HandshakeTimeout: hung}
		conn, answer, err := dialer.DialContext(t.Context(), "wss"+strings.TrimPrefix(server.URL, "https")+"/api/v1/ws", nil)
		if answer == nil || answer.StatusCode != want {
			t.Errorf("WebSocket: %v, want %d", err, want)
		}
		if answer != nil {
			_ = answer.Body.Close()
		}
		if conn != nil {
			_ = conn.Close()
		}
	}
}
