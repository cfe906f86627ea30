package scenario

import (
	"fmt"
	"net/url"
	"path"
	"slices"
	"time"
)

// LoadEntry is load on one face of a plant.
type LoadEntry struct {
	Name     string        `yaml:"name,omitempty" jsonschema:"pattern=^[A-Za-z0-9_-]{1\\,48}$" hint:"letters, digits, _ and -" doc:"Names its metrics api.NAME.…; default the api."`
	API      string        `yaml:"api" jsonschema:"required,enum=rest-sync,enum=rest-control,enum=rest-read,enum=mqtt,enum=ws,enum=graphql" example:"rest-sync" doc:"Which face."`
	Users    int           `yaml:"users,omitempty" jsonschema:"minimum=1,maximum=1000000,default=100" doc:"Concurrent users, each with its own connection."`
	Rate     float64       `yaml:"rate,omitempty" jsonschema:"exclusiveMinimum=0,default=100" doc:"Requests per second, of all users together; subscribers of ws only listen."`
	At       time.Duration `yaml:"at,omitempty" jsonschema:"minimum=0" doc:"When it begins."`
	For      time.Duration `yaml:"for,omitempty" jsonschema:"exclusiveMinimum=0" doc:"How long it lasts; default to the end, or as long as its stages."`
	Ramp     time.Duration `yaml:"ramp,omitempty" jsonschema:"minimum=0" doc:"The first part of it, in which the rate rises from 0; rate_per_s leaves it out. In a closed loop users come one after the other meanwhile."`
	Stages   []LoadStage   `yaml:"stages,omitempty" doc:"Ramps, one after the other, that begin at rate; instead of for and ramp."`
	Spike    *LoadSpike    `yaml:"spike,omitempty" doc:"Another rate for a while."`
	Arrivals string        `yaml:"arrivals,omitempty" jsonschema:"enum=even,enum=poisson,default=even" doc:"How requests are spread over time: evenly, or at random as those of independent users."`
	Closed   bool          `yaml:"closed,omitempty" doc:"A closed loop: users wait for their answer and think; nothing is charged for what they could not send."`
	Think    time.Duration `yaml:"think,omitempty" jsonschema:"minimum=0" doc:"From an answer to the next request, in a closed loop."`
	Batch    int           `yaml:"batch,omitempty" jsonschema:"minimum=1,maximum=10000,default=1" doc:"Readings in a request, of rest-sync and mqtt."`
	Devices  int           `yaml:"devices,omitempty" jsonschema:"minimum=1,maximum=1000000" doc:"Devices that the users of rest-sync and mqtt speak for, at least one each; default one each."`
	Ask      string        `yaml:"ask,omitempty" hint:"a glob over device ids, such as ess-00*" doc:"Which devices the other kinds ask for (a glob), also those of loads: load-NAME-0001 …; default the fleet."`
	Query    string        `yaml:"query,omitempty" doc:"Of graphql, with the variable $id; default a device with its newest reading."`
}

// LoadStage leads in a straight line to a rate.
type LoadStage struct {
	For  time.Duration `yaml:"for" jsonschema:"required,minimum=0" example:"10s" doc:"How long it takes; 0s jumps."`
	Rate float64       `yaml:"rate" jsonschema:"required,minimum=0" example:"1000" doc:"Requests per second at its end."`
}

// LoadSpike is another rate for a while.
type LoadSpike struct {
	At   time.Duration `yaml:"at" jsonschema:"required,minimum=0" example:"20s" doc:"When, from the begin of the load."`
	For  time.Duration `yaml:"for" jsonschema:"required,exclusiveMinimum=0" example:"5s" doc:"How long."`
	Rate float64       `yaml:"rate" jsonschema:"required,minimum=0" example:"20000" doc:"Requests per second meanwhile."`
}

// LoadFile is load on a plant that runs somewhere else: what `yunchu load` puts on.
type LoadFile struct {
	Head  `yaml:",inline"`
	URL   string      `yaml:"url,omitempty" jsonschema:"default=http://127.0.0.1:8080" doc:"Of the API: http:// or https://."`
	MQTT  string      `yaml:"mqtt,omitempty" doc:"Of the broker: mqtt://host:1883 or mqtts://host:8883; needed for api: mqtt."`
	Seed  uint64      `yaml:"seed,omitempty" jsonschema:"default=1" doc:"Every random draw follows from it."`
	Load  []LoadEntry `yaml:"load" jsonschema:"required" example:"[{api: rest-sync, users: 1000, rate: 10000, for: 60s}]" doc:"The loads, side by side."`
	Score []Score     `yaml:"score,omitempty" doc:"What is measured, and what it must be; the targets of the design when left out."`

	Path   string   `yaml:"-"` // the file, as it was named
	Inputs []string `yaml:"-"` // every file that was opened for it, itself first
}

func (*LoadFile) root() {}

// LoadLoad reads a load file. Its error is Faults.
func LoadLoad(path string, opt Options) (*LoadFile, error) {
	data, err := readFile(path, opt)
	if err != nil {
		return nil, err
	}
	return ParseLoad(path, data, opt)
}

// ParseLoad is LoadLoad for a text at hand.
func ParseLoad(name string, data []byte, opt Options) (*LoadFile, error) {
	l := new(LoadFile)
	s, err := decodeFile(name, data, "Load", l, opt)
	if err != nil {
		return nil, err
	}
	l.Path = name
	l.check(s)
	l.Inputs = s.inputs
	if err := s.err(); err != nil {
		return nil, err
	}
	return l, nil
}

func (l *LoadFile) check(s *source) {
	if len(l.Load) == 0 && s.has("load") {
		s.fault(s.key("load"), "add one: {api: rest-sync, users: 1000, rate: 10000, for: 60s}", "there is no load")
	}
	checkLoads(s, l.Load, 0)
	for i := range l.Load {
		if x, at := &l.Load[i], fmt.Sprintf("load[%d]", i); x.For == 0 {
			s.wrong(at, "add for: 60s", "nothing says how long this load lasts")
		} else if x.API == "mqtt" && l.MQTT == "" {
			s.wrong(at+".api", "add mqtt: mqtt://127.0.0.1:1883 at the top", "nothing says where the broker is")
		}
	}
	for _, u := range []struct{ key, text, plain, secure string }{{"url", l.URL, "http", "https"}, {"mqtt", l.MQTT, "mqtt", "mqtts"}} {
		if u.text == "" {
			continue
		}
		if p, err := url.Parse(u.text); err != nil || p.Host == "" || p.Scheme != u.plain && p.Scheme != u.secure {
			s.wrong(u.key, "write "+u.plain+"://host:port", "%q is not an address of it", short(u.text))
		}
	}
	for i := range l.Score {
		c, at := &l.Score[i], fmt.Sprintf("score[%d]", i)
		if _, _, api := splitLoadMetric(c.Metric); !api && !slices.Contains(LoadMetrics(), c.Metric) && c.Metric != "" {
			if _, known := FindMetric(c.Metric); known {
				s.wrong(at+".metric", "from outside there are api.NAME.…, availability_percent, sync.delay_ms and data.lost", "%s is not seen from outside of a plant", c.Metric)
				continue
			}
		}
		c.check(s, at, l.Load)
	}
}

// LoadMetrics are those that are measured of a plant from outside, beside api.NAME.….
func LoadMetrics() []string { return []string{"availability_percent", "sync.delay_ms", "data.lost"} }

// checkLoads fills in what depends on other keys and finds what does not go
// together; within is how long the run lasts, 0 where the loads say it.
func checkLoads(f *source, loads []LoadEntry, within time.Duration) {
	seen := map[string]bool{}
	for i := range loads {
		l, at := &loads[i], fmt.Sprintf("load[%d]", i)
		if l.Name == "" {
			l.Name = l.API
		}
		if l.Name != "" && seen[l.Name] {
			f.wrong(at+".name", "give each load a name of its own", "there are two loads named %q", l.Name)
		}
		seen[l.Name] = true
		l.check(f, at)
		if l.For == 0 {
			l.For = max(within-l.At, 0)
		}
		switch end := l.At + l.For; {
		case within <= 0:
		case l.At > within:
			f.wrong(at+".at", "the run ends at "+FormatDuration(within), "a load at %s is after the end", FormatDuration(l.At))
		case end > within:
			f.wrong(at+".for", "the run ends at "+FormatDuration(within), "the load ends at %s, after the run", FormatDuration(end))
		}
		if l.Ramp > 0 && l.For > 0 && l.Ramp >= l.For {
			f.wrong(at+".ramp", "it is the first part of for", "a ramp of %s leaves nothing of a load of %s", FormatDuration(l.Ramp), FormatDuration(l.For))
		}
		if x := l.Spike; x != nil && l.For > 0 && x.At+x.For > l.For {
			f.wrong(at+".spike", "it lies within the load", "the spike ends at %s, after the load", FormatDuration(x.At+x.For))
		}
	}
}

// check finds keys that do not go together.
func (l *LoadEntry) check(f *source, at string) {
	sends := l.API == "rest-sync" || l.API == "mqtt"
	refuse := func(keys []string, where, hint string) {
		for _, key := range keys {
			if f.has(at + "." + key) {
				f.wrong(at+"."+key, hint, "%s has no %s", where, key)
			}
		}
	}
	if sends {
		refuse([]string{"ask"}, l.API, "its users speak for devices of their own: devices")
		if f.has(at+".devices") && l.Devices < l.Users {
			f.wrong(at+".devices", "each user speaks for one at least", "%d devices are fewer than %d users", l.Devices, l.Users)
		}
		if l.API == "mqtt" && l.Batch > 1 && l.Devices > l.Users {
			f.wrong(at+".batch", "leave devices out: a message of MQTT is of one device", "a batch over several devices cannot be published")
		}
	} else if l.API != "" {
		refuse([]string{"batch", "devices"}, l.API, "they belong to rest-sync and mqtt")
	}
	if l.API != "graphql" {
		refuse([]string{"query"}, l.API, "it belongs to graphql")
	}
	if _, err := path.Match(l.Ask, ""); err != nil {
		f.wrong(at+".ask", "* stands for any characters, ? for one, [0-9] for one of them", "%q is not a glob", l.Ask)
	}
	switch {
	case l.API == "ws":
		refuse([]string{"rate", "stages", "spike", "arrivals", "closed", "think"}, "a load of subscribers", "they only listen")
	case l.Closed:
		refuse([]string{"rate", "stages", "spike", "arrivals"}, "a closed loop", "its rate is what comes of users and think")
	default:
		refuse([]string{"think"}, "an open loop", "add closed: true for users who wait and think")
	}
	if len(l.Stages) > 0 {
		refuse([]string{"for", "ramp"}, "a load with stages", "the stages say it")
		for _, s := range l.Stages {
			l.For += s.For
		}
	}
}

// Asked are the devices that a load asks for, of those that the plant has and of those
// that the other loads speak for.
func (f *LoadFile) Asked(l *LoadEntry, plant []string) []string {
	if l.Ask == "" {
		return plant
	}
	return matching(l.Ask, plant, f.Load)
}

func matching(glob string, plant []string, loads []LoadEntry) []string {
	var ids []string
	seen := map[string]bool{}
	add := func(all []string) {
		for _, id := range all {
			if ok, err := path.Match(glob, id); ok && err == nil && !seen[id] {
				seen[id] = true
				ids = append(ids, id)
			}
		}
	}
	add(plant)
	for i := range loads {
		add(loads[i].Senders())
	}
	return ids
}

// Senders are the devices that the users of a load speak for; none where they only ask.
func (l *LoadEntry) Senders() []string {
	if l.API != "rest-sync" && l.API != "mqtt" {
		return nil
	}
	ids := make([]string, max(l.Devices, l.Users))
	for i := range ids {
		ids[i] = fmt.Sprintf("load-%s-%04d", l.Name, i+1)
	}
	return ids
}
