package scenario

import (
	"fmt"
	"net/url"
	"path"
	"slices"
	"strings"
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
	Fusion     []Fusion       `yaml:"fusion,omitempty" doc:"Devices that are made of what several others measure."`
	Site       ConfigSite     `yaml:"site,omitempty" doc:"The grid connection."`
	Dispatch   Dispatch       `yaml:"dispatch,omitempty" doc:"What the fleet is asked for; can be changed by the API."`
	Guard      Guard          `yaml:"guard,omitempty" doc:"What bounds commands, whoever gives them; no API changes it."`
	Quality    []QualityRule  `yaml:"quality,omitempty" doc:"How readings are cleaned, by device; docs/quality.md tells what each key does."`
	History    HistoryStore   `yaml:"history,omitempty" doc:"Where readings are kept."`
	Retention  Retention      `yaml:"retention,omitempty" doc:"How long what is kept."`
	Record     Recording      `yaml:"record,omitempty" doc:"What crosses the wires of devices is recorded, in files beneath data; nothing without links."`
	MQTT       Broker         `yaml:"mqtt,omitempty" doc:"The embedded MQTT broker; without listen there is none."`
	Remote     []RemoteWrite  `yaml:"remote_write,omitempty" doc:"Stores that readings are sent to, by Prometheus's remote write 1.0."`
	TLS        TLS            `yaml:"tls,omitempty" doc:"Certificates of the listeners; plain HTTP when left out."`
	Access     Access         `yaml:"access,omitempty" doc:"Who gets in beside those that the API has made."`
	Sites      Sites          `yaml:"sites,omitempty" doc:"Sites that may join this plant and send on what they have."`
	Edge       Edge           `yaml:"edge,omitempty" doc:"The plant that this one is a site of; for serve --role edge."`

	Path   string   `yaml:"-"` // the file, as it was named
	Inputs []string `yaml:"-"` // every file that was opened for it, itself first
}

// ConfigDevice is one device of a configuration.
type ConfigDevice struct {
	Device `yaml:",inline"`
	Shadow *Shadow `yaml:"shadow,omitempty" doc:"A twin beside the device that names what diverges from it: true, or {model: …}."`
}

// Fusion is a device that is made of others.
type Fusion struct {
	ID          string        `yaml:"id" jsonschema:"required,pattern=^[A-Za-z0-9_-]+$" hint:"letters, digits, - and _" doc:"Its id."`
	MaxAge      time.Duration `yaml:"max_age,omitempty" jsonschema:"minimum=100ms,default=10s" doc:"An older reading of a source has no say."`
	Power       FusedPower    `yaml:"power,omitempty" doc:"Power."`
	SoC         FusedSoC      `yaml:"soc,omitempty" doc:"State of charge."`
	SoH         FusedSoC      `yaml:"soh,omitempty" doc:"State of health."`
	Voltage     FusedVoltage  `yaml:"voltage,omitempty" doc:"Voltage."`
	Current     FusedCurrent  `yaml:"current,omitempty" doc:"Current."`
	Temperature FusedTemp     `yaml:"temperature,omitempty" doc:"Temperature."`
}

// FusedPower and its siblings are where one quantity of a fused device comes from.
type (
	FusedPower struct {
		From      []string `yaml:"from,omitempty" doc:"Ids of the devices that measure it."`
		Tolerance float64  `yaml:"tolerance_kw,omitempty" jsonschema:"minimum=0,default=2" doc:"How far apart they may be, kW."`
	}
	FusedSoC struct {
		From      []string `yaml:"from,omitempty" doc:"Ids of the devices that measure it."`
		Tolerance float64  `yaml:"tolerance_percent,omitempty" jsonschema:"minimum=0,default=3" doc:"How far apart they may be, percent."`
	}
	FusedVoltage struct {
		From      []string `yaml:"from,omitempty" doc:"Ids of the devices that measure it."`
		Tolerance float64  `yaml:"tolerance_v,omitempty" jsonschema:"minimum=0,default=5" doc:"How far apart they may be, V."`
	}
	FusedCurrent struct {
		From      []string `yaml:"from,omitempty" doc:"Ids of the devices that measure it."`
		Tolerance float64  `yaml:"tolerance_a,omitempty" jsonschema:"minimum=0,default=3" doc:"How far apart they may be, A."`
	}
	FusedTemp struct {
		From      []string `yaml:"from,omitempty" doc:"Ids of the devices that measure it."`
		Tolerance float64  `yaml:"tolerance_c,omitempty" jsonschema:"minimum=0,default=3" doc:"How far apart they may be, K."`
	}
)

// NATS is the bus of a configuration. Without a URL it is embedded.
type NATS struct {
	URL         string `yaml:"url,omitempty" doc:"Of an external cluster: nats://host:4222 or tls://host:4222."`
	Credentials string `yaml:"credentials,omitempty" doc:"Path of its credentials file."`
	Replicas    int    `yaml:"replicas,omitempty" jsonschema:"minimum=1,maximum=5,default=1" doc:"Copies of each stream in the cluster."`
}

// Broker is how a plant takes part in MQTT: with a broker of its own, or as a client of
// somebody else's. Without an address it does not.
type Broker struct {
	Listen     string        `yaml:"listen,omitempty" hint:"write tcp://host:1883, or tls://host:8883" doc:"Where devices connect: tcp://host:port, or tls://host:port with the certificate of tls."`
	MaxClients int           `yaml:"max_clients,omitempty" jsonschema:"minimum=1,maximum=1000000,default=20000" doc:"How many may be connected at once."`
	Silence    time.Duration `yaml:"silence,omitempty" jsonschema:"minimum=1s,maximum=1h,default=5s" doc:"How old the newest reading of a device that is commanded over MQTT may be before its link counts as lost."`

	Broker   string `yaml:"broker,omitempty" hint:"write mqtt://host:1883, or tls://host:8883" doc:"Somebody else's broker, whose devices are this plant's: mqtt://host:port, or tls://host:port."`
	Client   string `yaml:"client,omitempty" jsonschema:"pattern=^[A-Za-z0-9_-]{1\\,64}$,default=yunchu" hint:"letters, digits, - and _" doc:"What that broker files this plant's session under; no two plants may have the same."`
	User     string `yaml:"user,omitempty" doc:"Who this plant is to that broker."`
	Password string `yaml:"password_file,omitempty" doc:"Path of a file that holds its password."`
	CA       string `yaml:"ca,omitempty" doc:"Path of the authority that has signed that broker's certificate; the system's when left out."`
	Cert     string `yaml:"cert,omitempty" doc:"Path of the certificate that this plant shows, PEM."`
	Key      string `yaml:"key,omitempty" doc:"Path of its key, PEM."`
	Register bool   `yaml:"register,omitempty" jsonschema:"default=false" doc:"Whether devices that are not known yet are taken in; else what they send is refused."`
}

// Split is the network and the address of Listen.
func (m *Broker) Split() (address string, secure bool) {
	address, secure = strings.CutPrefix(m.Listen, "tls://")
	return strings.TrimPrefix(address, "tcp://"), secure
}

// ConfigSite is the grid connection of a plant.
type ConfigSite struct {
	Name          string   `yaml:"name,omitempty" doc:"Shown in the portal."`
	Meter         string   `yaml:"meter,omitempty" hint:"the id of a device" doc:"Id of the device at the grid connection; import targets need it."`
	ImportLimitKW *float64 `yaml:"import_limit_kw,omitempty" jsonschema:"minimum=0" doc:"The most the site may draw from the grid, kW."`
}

// Retention is how long what is kept; 0 is for ever.
type Retention struct {
	Control time.Duration `yaml:"control,omitempty" jsonschema:"minimum=0,default=7d" doc:"Commands, acknowledgements, events and sessions, 12h or more, 0s for ever: about 100 bytes for each setpoint, 4.5 GB a day for 1,000 devices in a 2 s cycle."`
	History time.Duration `yaml:"history,omitempty" jsonschema:"minimum=0,default=0s" doc:"Readings, in whole files of the history; 0s keeps them for ever."`
	Tiers   []Tier        `yaml:"tiers,omitempty" doc:"What readings amount to in steps, stored beside them, the shortest step first; without the key by the minute, 15 minutes and hour, for ever."`
}

// Recording is what is recorded of wires while a plant runs.
type Recording struct {
	Links    string        `yaml:"links" jsonschema:"required" example:"rig-*" doc:"The devices whose wires are recorded, a glob."`
	Keep     time.Duration `yaml:"keep,omitempty" jsonschema:"minimum=1m,default=7d" doc:"How long a file is kept."`
	MaxBytes int           `yaml:"max_bytes,omitempty" jsonschema:"minimum=1000000,default=1000000000" doc:"What all files may have together; the oldest go first."`
}

// check looks whether there is something to record.
func (r *Recording) check(s *source, devices []ConfigDevice) {
	if !s.has("record") || r.Links == "" {
		return
	}
	var ids []string
	for i := range devices {
		if d := &devices[i]; d.Wire() {
			if ok, err := path.Match(r.Links, d.ID); err != nil {
				s.wrong("record.links", "write a glob, such as rig-*", "%q is no glob: %v", short(r.Links), err)
				return
			} else if ok {
				return
			}
			ids = append(ids, d.ID)
		}
	}
	s.wrong("record.links", suggest(r.Links, ids), "no device on a wire is named %q", short(r.Links))
}

// Tier is a step in which what readings amount to is stored.
type Tier struct {
	Step time.Duration `yaml:"step" jsonschema:"required" hint:"1s, 1m, 15m or 1h" doc:"1s, 1m, 15m or 1h; 1s is for devices that report several times a second."`
	Keep time.Duration `yaml:"keep,omitempty" jsonschema:"minimum=0,default=0s" doc:"How long; 0s keeps it for ever."`
}

// Sites are the sites that may join a plant.
type Sites struct {
	Listen string   `yaml:"listen,omitempty" jsonschema:"pattern=:[0-9]+$" hint:"write host:port, such as 0.0.0.0:7422" doc:"Where sites join, host:port; beyond this machine with tls only."`
	List   []Member `yaml:"list,omitempty" doc:"Who may join."`
}

// Member is one of them.
type Member struct {
	Name   string `yaml:"name" jsonschema:"required,pattern=^[A-Za-z0-9_-]+$" hint:"letters, digits, - and _" doc:"What its devices are filed under."`
	Secret string `yaml:"secret_file" jsonschema:"required" doc:"Path of a file that holds its secret, at least 16 characters."`
}

// Edge is where a site joins its plant.
type Edge struct {
	Name   string        `yaml:"name,omitempty" jsonschema:"pattern=^[A-Za-z0-9_-]+$" hint:"letters, digits, - and _" doc:"What the plant calls this site."`
	Plant  string        `yaml:"plant,omitempty" doc:"tls://host:port of the plant; nats://host:port on this machine."`
	Secret string        `yaml:"secret_file,omitempty" doc:"Path of a file that holds this site's secret."`
	CA     string        `yaml:"ca,omitempty" doc:"Path of the authority that has signed the plant's certificate; the system's when left out."`
	Verify time.Duration `yaml:"verify,omitempty" jsonschema:"minimum=1m,default=1h" doc:"How often the histories of both ends are compared."`
	Hold   time.Duration `yaml:"hold,omitempty" jsonschema:"minimum=1h,default=2d" doc:"How long the log keeps what the plant does not have; later it is sent from the history."`
}

// RemoteWrite is a store that readings are sent to.
type RemoteWrite struct {
	URL       string `yaml:"url" jsonschema:"required" example:"http://host:9090/api/v1/write" hint:"write it as http://host:9090/api/v1/write" doc:"Where it takes them: http://host:9090/api/v1/write."`
	TokenFile string `yaml:"bearer_token_file,omitempty" doc:"Path of a file with the bearer token for it."`
	MaxBehind int    `yaml:"max_behind,omitempty" jsonschema:"minimum=1,default=200000" doc:"How many messages of the log are kept for it while it does not answer; older ones are skipped and counted."`
}

// TLS are the certificates of the listeners.
type TLS struct {
	Cert     string `yaml:"cert,omitempty" doc:"Path of the certificate chain, PEM."`
	Key      string `yaml:"key,omitempty" doc:"Path of its key, PEM."`
	ClientCA string `yaml:"client_ca,omitempty" doc:"Path of the authority whose client certificates are taken as devices."`
	Require  bool   `yaml:"require_client,omitempty" doc:"Whether nobody gets in without such a certificate."`
	Min      string `yaml:"min,omitempty" jsonschema:"enum=1.2,enum=1.3,default=1.3" doc:"The oldest version that is spoken."`

	Own bool `yaml:"-"` // make a certificate where none is named
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

// tierSteps are the steps that tiers may have.
var tierSteps = []time.Duration{time.Second, time.Minute, 15 * time.Minute, time.Hour}

// sessionLife is that of a login: what a session was last must be in the log as long.
const sessionLife = 12 * time.Hour

func (r *Retention) check(s *source) {
	if c := r.Control; c > 0 && c < sessionLife {
		s.wrong("retention.control", "write 12h or more, or 0s to keep all", "sessions of 12 hours are kept there, and %s is less", c)
	}
	for i, t := range r.Tiers {
		at := fmt.Sprintf("retention.tiers[%d].step", i)
		if !slices.Contains(tierSteps, t.Step) {
			s.wrong(at, "write 1s, 1m, 15m or 1h", "no tier has a step of %s", t.Step)
		} else if i > 0 && t.Step <= r.Tiers[i-1].Step {
			s.wrong(at, "the shortest step comes first, each once", "it is not longer than the step before")
		}
	}
}

func (c *Config) check(s *source) {
	if c.Listen != "" { // else it has been reported
		s.hostPort("listen", c.Listen, "write host:port, such as 127.0.0.1:8080")
	}
	if s.has("data") && c.Data == "" {
		s.wrong("data", "write the path of a folder", "no folder is named")
	}
	c.Data = s.path(c.Data)
	c.History.check(s)
	c.Retention.check(s)
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
	c.Record.check(s, c.Devices)
	for i := range c.Fusion {
		at := fmt.Sprintf("fusion[%d]", i)
		s.uniqueID(at, c.Fusion[i].ID, seen)
		c.Fusion[i].check(s, at)
	}
	c.NATS.check(s)
	if m := c.Site.Meter; m != "" && !seen[m] {
		var ids []string
		for _, d := range c.Devices {
			ids = append(ids, d.ID)
		}
		s.wrong("site.meter", suggest(m, slices.Compact(ids)), "there is no device %q", short(m))
	}
	if c.Site.ImportLimitKW != nil && c.Site.Meter == "" && !s.has("site.meter") {
		s.wrong("site.import_limit_kw", "add meter: DEVICE", "an import limit needs the meter of the site")
	}
	var ids []string
	for _, d := range c.Devices {
		ids = append(ids, d.ID)
	}
	c.Dispatch.check(s, time.Unix(0, 0).UTC(), 0, ids)
	if x := c.Dispatch.Droop; x != nil && x.Frequency != nil {
		s.wrong("dispatch.droop.frequency", "name the device that measures it with meter", "a series is for scenarios")
	}
	if c.Sites.Listen == "" {
		for _, x := range c.Fusion {
			ids = append(ids, x.ID)
		}
		c.Dispatch.checkMeters(s, ids)
	}
	if t := c.Dispatch.Target; t != nil && t.Import && c.Site.Meter == "" && !s.has("site.meter") {
		s.wrong("dispatch.target.import_kw", "add site: {meter: DEVICE}", "an import target needs the meter of the site")
	}
	urls := map[string]bool{}
	for i := range c.Remote {
		c.Remote[i].check(s, fmt.Sprintf("remote_write[%d]", i), urls)
	}
	c.checkQuality(s)
	c.TLS.check(s)
	c.MQTT.check(s, &c.TLS)
	c.Access.check(s)
	c.Sites.check(s)
	c.Edge.check(s)
}

func (f *Fusion) check(s *source, at string) {
	any := false
	for _, q := range []struct {
		key  string
		from []string
	}{
		{"power", f.Power.From},
		{"soc", f.SoC.From},
		{"soh", f.SoH.From},
		{"voltage", f.Voltage.From},
		{"current", f.Current.From},
		{"temperature", f.Temperature.From},
	} {
		any = any || len(q.from) > 0
		if slices.Contains(q.from, f.ID) {
			s.wrong(at+"."+q.key+".from", "name others", "a device cannot be made of itself")
		}
	}
	if !any {
		s.fault(s.key(at), "add power: {from: [meter-1, pcs-1]}, or another quantity", "nothing says what this device is made of")
	}
}

func (x *Sites) check(s *source) {
	if x.Listen != "" {
		s.hostPort("sites.listen", x.Listen, "write host:port, such as 0.0.0.0:7422")
	}
	if s.has("sites") && (!s.has("sites.listen") || len(x.List) == 0) {
		s.fault(s.key("sites"), "give both listen and list", "sites that may join need a place to join at")
	}
	seen := map[string]bool{}
	for i := range x.List {
		at := fmt.Sprintf("sites.list[%d]", i)
		if n := x.List[i].Name; n != "" && seen[n] {
			s.wrong(at+".name", "give each site a name of its own", "there are two sites named %q", short(n))
		}
		seen[x.List[i].Name] = true
		if s.has(at + ".secret_file") {
			s.exists(at+".secret_file", &x.List[i].Secret)
		}
	}
}

func (x *Edge) check(s *source) {
	if !s.has("edge") {
		return
	}
	u, err := url.Parse(x.Plant)
	switch {
	case x.Name == "" || x.Plant == "" || x.Secret == "":
		s.fault(s.key("edge"), "give name, plant and secret_file", "a site needs a name, the address of its plant and a secret")
	case err != nil || u.Port() == "" || u.Scheme != "tls" && u.Scheme != "nats":
		s.wrong("edge.plant", "write it as tls://host:7422", "%q is not the address of a plant", short(x.Plant))
	}
	for _, f := range []struct {
		key  string
		path *string
	}{{"edge.secret_file", &x.Secret}, {"edge.ca", &x.CA}} {
		if s.has(f.key) {
			s.exists(f.key, f.path)
		}
	}
}

func (r *RemoteWrite) check(s *source, at string, seen map[string]bool) {
	if s.has(at + ".url") {
		u, err := url.Parse(r.URL)
		if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
			s.wrong(at+".url", "write it as http://host:9090/api/v1/write", "%q is not the URL of a store", short(r.URL))
		} else if where := u.Host + u.Path; seen[where] {
			s.wrong(at+".url", "name each store once", "%q stands here twice", short(where))
		} else {
			seen[where] = true
		}
	}
	if s.has(at + ".bearer_token_file") {
		s.exists(at+".bearer_token_file", &r.TokenFile)
	}
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

func (m *Broker) check(s *source, t *TLS) {
	const hint = "write tcp://host:1883, or tls://host:8883"
	m.checkExternal(s)
	if !s.has("mqtt.listen") {
		s.misplaced("mqtt", "max_clients", "no broker", "add listen to have one")
		if !s.has("mqtt.broker") {
			s.misplaced("mqtt", "silence", "no broker", "add listen to have one, or broker to use one")
		}
		return
	}
	address, secure := m.Split()
	switch {
	case !secure && !strings.HasPrefix(m.Listen, "tcp://"):
		s.wrong("mqtt.listen", hint, "%q does not say whether it is encrypted", short(m.Listen))
	default:
		s.hostPort("mqtt.listen", address, hint)
	}
	if secure && t.Cert == "" && !s.opt.OwnCertificate {
		s.wrong("mqtt.listen", "add tls: {cert: …, key: …}, or serve --tls", "an encrypted listener needs a certificate")
	}
}

// checkExternal looks at what is about somebody else's broker.
func (m *Broker) checkExternal(s *source) {
	if !s.has("mqtt.broker") {
		for _, key := range []string{"client", "user", "password_file", "ca", "cert", "key", "register"} {
			s.misplaced("mqtt", key, "no external broker", "add broker to use one")
		}
		return
	}
	u, err := url.Parse(m.Broker)
	switch {
	case err != nil || u.Hostname() == "" || u.Scheme != "mqtt" && u.Scheme != "tls" || strings.Trim(u.Path, "/") != "":
		s.wrong("mqtt.broker", "write mqtt://host:1883, or tls://host:8883", "%q is not the address of a broker", short(m.Broker))
	case u.User != nil:
		s.wrong("mqtt.broker", "give user and password_file", "the address holds a user, and addresses are logged")
	case u.Scheme == "mqtt" && m.CA+m.Cert+m.Key != "":
		s.wrong("mqtt.broker", "write tls://host:8883", "certificates are given for a broker that is spoken to in the clear")
	case s.has("mqtt.listen"):
		s.wrong("mqtt.broker", "leave out listen or broker", "a plant has a broker of its own or uses another one")
	}
	if (m.Cert == "") != (m.Key == "") {
		s.fault(s.key("mqtt"), "give both cert and key", "a certificate and its key belong together")
	}
	for _, f := range []struct {
		key  string
		path *string
	}{{"password_file", &m.Password}, {"ca", &m.CA}, {"cert", &m.Cert}, {"key", &m.Key}} {
		if s.has("mqtt." + f.key) {
			s.exists("mqtt."+f.key, f.path)
		}
	}
}

func (t *TLS) check(s *source) {
	if t.Require && t.ClientCA == "" {
		s.wrong("tls.require_client", "add client_ca", "nothing says whose certificates are required")
	}
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
