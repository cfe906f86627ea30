package scenario

import (
	"net"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// The stores that a history may lie in.
const (
	HistoryFiles    = "files"
	HistoryPostgres = "postgres"
)

// HistoryStore is where readings are kept.
type HistoryStore struct {
	Store    string `yaml:"store,omitempty" jsonschema:"enum=files,enum=postgres,default=files" doc:"files: in the data folder; postgres: in a PostgreSQL database."`
	DSN      string `yaml:"dsn,omitempty" hint:"write postgres://user@host:5432/database?sslmode=verify-full" doc:"postgres: where it is, without a password, postgres://user@host:5432/database?sslmode=verify-full."`
	Password string `yaml:"password_file,omitempty" doc:"postgres: path of a file that holds the password; without it PGPASSWORD, or the password file of libpq."`
	Schema   string `yaml:"schema,omitempty" jsonschema:"pattern=^[a-z_][a-z0-9_]{0\\,62}$,default=yunchu" hint:"lower-case letters, digits and _" doc:"postgres: of its tables; no two plants may have the same."`
}

// secured are the modes in which nobody can read along.
var secured = []string{"require", "verify-ca", "verify-full"}

// secretive is a connection string that may hold a password.
var secretive = regexp.MustCompile(`(?i)password|:[^/@]*@`)

func (h *HistoryStore) check(s *source) {
	if secretive.MatchString(h.DSN) {
		s.hide("history.dsn")
	}
	if h.Store != HistoryPostgres {
		for _, key := range []string{"dsn", "password_file", "schema"} {
			s.misplaced("history", key, "files", "add store: postgres to use a database")
		}
		return
	}
	if h.DSN == "" {
		s.fault(s.key("history"), "add dsn: postgres://user@host:5432/database?sslmode=verify-full", "nothing says where the database is")
		return
	}
	if s.has("history.password_file") {
		s.exists("history.password_file", &h.Password)
	}
	u, err := url.Parse(h.DSN)
	if err != nil || u.Scheme != "postgres" && u.Scheme != "postgresql" || strings.Trim(u.Path, "/") == "" {
		s.wrong("history.dsn", "write postgres://user@host:5432/database?sslmode=verify-full", "this is not the address of a PostgreSQL database")
		return
	}
	q := u.Query()
	if _, set := u.User.Password(); set || q.Has("password") {
		s.wrong("history.dsn", "leave it out and give password_file, or PGPASSWORD", "the address holds a password, and configurations are copied about")
		return
	}
	for _, host := range hostsOf(u, q) {
		if !near(host) && !slices.Contains(secured, q.Get("sslmode")) {
			s.wrong("history.dsn", "add ?sslmode=verify-full (and sslrootcert=PATH for an authority of your own)", "readings and the password would cross the network in the clear, or could")
			return
		}
	}
}

// hostsOf are the hosts of a connection string: those of its authority and of its options.
func hostsOf(u *url.URL, q url.Values) (out []string) {
	for _, list := range []string{u.Host, q.Get("host"), q.Get("hostaddr")} {
		for h := range strings.SplitSeq(list, ",") {
			if host, _, err := net.SplitHostPort(h); err == nil {
				h = host
			}
			if h != "" {
				out = append(out, strings.Trim(h, "[]"))
			}
		}
	}
	return out
}

// near reports whether a host is this machine: a loopback address, or the folder of a socket.
func near(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || strings.HasPrefix(host, "/") || ip != nil && ip.IsLoopback()
}
