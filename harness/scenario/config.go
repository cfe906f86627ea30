package scenario

import (
	"fmt"
	"net/url"
	"slices"
	"time"
)

// Config is what `yunchu serve` runs with. Every key has a default; an empty
// configuration ingests and answers, and dispatches nothing.
type Config struct {
	Head       `yaml:",inline"`
	Listen     string         `yaml:"listen,omitempty" jsonschema:"pattern=:[0-9]+$,default=127.0.0.1:8080" hint:"write host:port, such as 127.0.0.1:8080" doc:"Where the API and the portal listen, host:port."`
	Data       string         `yaml:"data,omitempty" jsonschema:"default=./data" doc:"Folder of the log, the views and the keys."`
	Simulation bool           `yaml:"simulation,omitempty" doc:"Whether simulated devices are allowed; never with settlement."`
	NATS       NATS           `yaml:"nats,omitempty" doc:"The bus; embedded without a listener when left out."`
	Devices    []ConfigDevice `yaml:"devices,omitempty" doc:"The devices that are read and dispatched; others register by sync."`
	Site       ConfigSite     `yaml:"site,omitempty" doc:"The grid connection."`
	Dispatch   Dispatch       `yaml:"dispatch,omitempty" doc:"What the fleet is asked for; can be changed by the API."`
	Retention  Retention      `yaml:"retention,omitempty" doc:"How long what is kept."`
	TLS        TLS            `yaml:"tls,omitempty" doc:"Certificates of the listeners; plain HTTP when left out."`

	Path   string   `yaml:"-"` // the file, as it was named
	Inputs []string `yaml:"-"` // every file that was opened for it, itself first
}

// ConfigDevice is one device of a configuration.
type ConfigDevice struct {
	Device `yaml:",inline"`
	Shadow *Shadow `yaml:"shadow,omitempty" doc:"A twin beside the device that names what diverges from it: true, or {model: …}."`
}

// NATS is the bus of a configuration. Without a URL it is embedded.
type NATS struct {
	URL         string `yaml:"url,omitempty" doc:"Of an external cluster: nats://host:4222 or tls://host:4222."`
	Credentials string `yaml:"credentials,omitempty" doc:"Path of its credentials file."`
	Replicas    int    `yaml:"replicas,omitempty" jsonschema:"minimum=1,maximum=5,default=1" doc:"Copies of each stream in the cluster."`
}

// ConfigSite is the grid connection of a plant.
type ConfigSite struct {
	Name          string   `yaml:"name,omitempty" doc:"Shown in the portal."`
	Meter         string   `yaml:"meter,omitempty" hint:"the id of a device" doc:"Id of the device at the grid connection; import targets need it."`
	ImportLimitKW *float64 `yaml:"import_limit_kw,omitempty" jsonschema:"minimum=0" doc:"The most the site may draw from the grid, kW."`
}

// Retention is how long what is kept; 0 is for ever.
type Retention struct {
	Control time.Duration `yaml:"control,omitempty" jsonschema:"minimum=0,default=7d" doc:"Commands, acknowledgements and events: about 100 bytes for each setpoint, 4.5 GB a day for 1,000 devices in a 2 s cycle."`
	History time.Duration `yaml:"history,omitempty" jsonschema:"minimum=0,default=0s" doc:"Readings; 0s keeps them for ever."`
}

// TLS are the certificates of the listeners.
type TLS struct {
	Cert     string `yaml:"cert,omitempty" doc:"Path of the certificate chain, PEM."`
	Key      string `yaml:"key,omitempty" doc:"Path of its key, PEM."`
	ClientCA string `yaml:"client_ca,omitempty" doc:"Path of the authority whose client certificates are asked for."`
}

func (*Config) root() {}

// DefaultConfig is the configuration of `yunchu serve` without a file.
func DefaultConfig() *Config {
	c := new(Config)
	s := newSource("", Options{})
	s.preset(elem(c), rules{})
	c.APIVersion, c.Kind = APIVersion, "Config"
	return c
}

// LoadConfig reads a configuration. Paths in it, also Data, are returned
// relative to the working folder. Its error is Faults.
func LoadConfig(path string, opt Options) (*Config, error) {
	data, err := readFile(path, opt)
	if err != nil {
		return nil, err
	}
	return ParseConfig(path, data, opt)
}

// ParseConfig is LoadConfig for a text at hand.
func ParseConfig(name string, data []byte, opt Options) (*Config, error) {
	c := new(Config)
	s, err := decodeFile(name, data, "Config", c, opt)
	if err != nil {
		return nil, err
	}
	c.Path = name
	c.check(s)
	c.Inputs = s.inputs
	if err := s.err(); err != nil {
		return nil, err
	}
	return c, nil
}

func (c *Config) check(s *source) {
	if c.Listen != "" { // else it has been reported
		s.hostPort("listen", c.Listen, "write host:port, such as 127.0.0.1:8080")
	}
	if s.has("data") && c.Data == "" {
		s.wrong("data", "write the path of a folder", "no folder is named")
	}
	c.Data = s.path(c.Data)
	seen := map[string]bool{}
	for i := range c.Devices {
		d, at := &c.Devices[i], fmt.Sprintf("devices[%d]", i)
		s.uniqueID(at, d.ID, seen)
		if d.Kind == "" && d.Parts == nil && !s.has(at+".device") {
			s.wrong(at, "add device and address", "nothing says how this device is reached")
			continue
		}
		d.check(s, at, false)
		if (d.Kind == Sim || d.Kind == Replay) && !c.Simulation {
			s.wrong(at+".device", "set simulation: true, if that is what you want", "a %s device is not real", d.Kind)
		}
		if d.Kind == Sim && d.Model == "" && !s.has(at+".model") {
			d.Model = DefaultModel
		}
		d.Shadow.check(s, at, &d.Device)
	}
	c.NATS.check(s)
	if m := c.Site.Meter; m != "" && !seen[m] {
		var ids []string
		for _, d := range c.Devices {
			ids = append(ids, d.ID)
		}
		s.wrong("site.meter", suggest(m, slices.Compact(ids)), "there is no device %q", short(m))
	}
	c.Dispatch.check(s, time.Unix(0, 0).UTC(), 0)
	if t := c.Dispatch.Target; t != nil && t.Import && c.Site.Meter == "" && !s.has("site.meter") {
		s.wrong("dispatch.target.import_kw", "add site: {meter: DEVICE}", "an import target needs the meter of the site")
	}
	c.TLS.check(s)
}

func (n *NATS) check(s *source) {
	if s.has("nats.url") {
		u, err := url.Parse(n.URL)
		if err != nil || u.Host == "" || !slices.Contains([]string{"nats", "tls", "ws", "wss"}, u.Scheme) {
			s.wrong("nats.url", "write it as nats://host:4222", "%q is not the URL of a NATS server", short(n.URL))
		}
	} else {
		for _, key := range []string{"credentials", "replicas"} {
			s.misplaced("nats", key, "the embedded bus", "add url to use an external cluster")
		}
	}
	if s.has("nats.credentials") {
		s.exists("nats.credentials", &n.Credentials)
	}
	if n.Replicas%2 == 0 && s.has("nats.replicas") && n.Replicas > 0 {
		s.wrong("nats.replicas", "write 1, 3 or 5", "an even number of replicas has no majority")
	}
}

func (t *TLS) check(s *source) {
	if (t.Cert == "") != (t.Key == "") {
		s.fault(s.key("tls"), "give both cert and key", "a certificate and its key belong together")
	}
	for _, f := range []struct {
		key  string
		path *string
	}{{"tls.cert", &t.Cert}, {"tls.key", &t.Key}, {"tls.client_ca", &t.ClientCA}} {
		if s.has(f.key) {
			s.exists(f.key, f.path)
		}
	}
}
