package scenario

import (
	"fmt"
	"path"

	"yunchu/platform/ingest"
)

// QualityRule says how the readings of devices are cleaned: the first rule whose glob
// matches a device holds.
type QualityRule struct {
	Devices        string `yaml:"devices,omitempty" jsonschema:"default=*" hint:"a glob over device ids, such as ess-00*" doc:"Whose readings: a glob over device ids, also of devices that register by sync."`
	ingest.Profile `yaml:",inline"`
}

func (c *Config) checkQuality(s *source) {
	for i := range c.Quality {
		r, at := &c.Quality[i], fmt.Sprintf("quality[%d]", i)
		if _, err := path.Match(r.Devices, ""); err != nil {
			s.wrong(at+".devices", "a glob over device ids, such as ess-00*", "%q is not a glob", short(r.Devices))
		}
		for _, f := range r.Validate() {
			s.wrong(at+"."+f.Key, f.Hint, "%s", f.Text)
		}
	}
}
