package scenario

import "github.com/goccy/go-yaml/ast"

// Shadow is a twin that goes along beside a device and names what diverges from it:
// true, or the model it is of.
type Shadow struct {
	On    bool   // not written: {model: …} is on, too
	Model string `yaml:"model,omitempty" doc:"A model set by name, or the path of a model file; the model of the device when left out."`
}

// Shadows counts the devices that have one beside them.
func (s *Scenario) Shadows() (n int) {
	for i := range s.Fleet {
		if h := s.Fleet[i].Shadow; h != nil && h.On {
			n += max(1, s.Fleet[i].Count)
		}
	}
	return n
}

func (h *Shadow) read(s *source, n ast.Node, at string, _ rules) {
	if b, ok := n.(*ast.BoolNode); ok {
		h.On = b.Value
		return
	}
	if _, mapping := pairsOf(n); !mapping {
		s.fault(start(n), "write true, or {model: NAME}", "%s is true, false or a mapping of keys, got %s", name(at), describe(n))
		return
	}
	h.On = true
	s.mapping(n, elem(h), at)
}

// check finds the model, which is that of the device where none is named.
func (h *Shadow) check(s *source, at string, d *Device) {
	if h == nil || !h.On {
		return
	}
	at = join(at, "shadow")
	named := Device{Model: h.Model}
	named.checkModel(s, at)
	h.Model = named.Model
	if h.Model == "" && !s.has(at+".model") {
		h.Model = d.Model
	}
	if h.Model == "" && !s.has(at+".model") {
		s.wrong(at, "write {model: NAME}, or give the device a model", "nothing says what this device should be like")
	}
}
