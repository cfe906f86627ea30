package twin_test

import (
	"encoding/gob"
	"hash/fnv"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"yunchu/twin"
	"yunchu/twin/params"
)

// story is what happens to a small unit that comes near every parameter of its strings
// and of their management.
type story struct {
	*twin.Fleet
	now time.Duration
	enc *gob.Encoder
}

// small is a unit of two strings of eight cells, with a management whose thresholds
// can all be reached.
func small(t *testing.T) *params.Model {
	m := *loadModel(t, modelCells)
	m.Series, m.Parallel, m.RatedKW, m.RatedKWh = 8, 2, 12, 14.3
	m.PCS.StandbyW, m.PCS.RampPerS = 1, 0.1
	m.ContainerName, m.Container, m.Grid = "", nil, nil
	m.Limits.SoC = params.Range{Min: 7, Max: 98}
	m.Limits.CellV = params.Range{Min: 3.1, Max: 3.4}
	s := *m.Strings
	s.Module, s.ColdAt = 8, "first"
	m.Strings = &s
	b := *m.BMS
	b.Protect = copied(reflect.ValueOf(b.Protect)).Interface().(params.Protect)
	b.Limits.FallAPerS, b.Limits.WarningShare = 20, [2]float64{0.9, 0.5}
	b.Contactor.MatchV, b.Unit.MatchV = 0.4, 0.4
	b.Balance.Ohm, b.Balance.MinV = 1, 3.32
	b.Balance.StartV, b.Balance.StopV = 0.002, 0.0015
	b.Contactor.LifeClosings, b.Contactor.LifeHotOpenings = 3, 2
	m.BMS = &b
	return &m
}

// copied is a deep copy of a struct of numbers, structs and pointers to such.
func copied(v reflect.Value) reflect.Value {
	out := reflect.New(v.Type()).Elem()
	out.Set(v)
	for n := range v.NumField() {
		switch f := v.Field(n); {
		case f.Kind() == reflect.Struct:
			out.Field(n).Set(copied(f))
		case f.Kind() == reflect.Pointer && !f.IsNil():
			p := reflect.New(f.Type().Elem())
			p.Elem().Set(copied(f.Elem()))
			out.Field(n).Set(p)
		}
	}
	return out
}

func (s *story) pass(n int) {
	for range n {
		s.now += time.Second
		s.Step(at(s.now))
		events, _ := s.Events(0)
		s.tell(events, s.State(0))
	}
}

func (s *story) tell(what ...any) {
	for _, w := range what {
		if err := s.enc.Encode(w); err != nil {
			panic(err)
		}
	}
}

func (s *story) ask(share float64) {
	s.SetPower(0, at(s.now), share*1e3*s.Model().RatedKW, time.Time{})
}

// off lets what a sensor of string 1 is off by grow for a minute, stay for another
// one and go away again, resets what has tripped and goes on at some power.
func (s *story) off(by twin.Misreading, share float64) {
	at := func(x float64) {
		y := twin.Misreading{CellV: x * by.CellV, TempK: x * by.TempK, SoC: x * by.SoC, CurrentA: x * by.CurrentA}
		if err := s.Misread(0, 0, y); err != nil {
			panic(err)
		}
	}
	s.ask(share)
	for n := range 60 {
		at(float64(n) / 59)
		s.pass(1)
	}
	s.pass(60)
	for n := range 60 {
		at(1 - float64(n)/59)
		s.pass(1)
	}
	s.pass(80)
	s.SetMode(0, twin.Run)
	s.ask(share)
	s.pass(20)
	s.ask(0)
	s.pass(60)
	s.tell(s.Checkpoint())
}

// tellStory is a hash of all that happens.
func tellStory(m *params.Model) (sum uint64, err error) {
	h := fnv.New64a()
	begin := func(soc float64) (s story) {
		s = story{enc: gob.NewEncoder(h)}
		s.Fleet, err = twin.NewFleet(m, []string{"a"}, twin.Options{SoCMean: soc, Start: start})
		return s
	}
	s := begin(40)
	if err != nil {
		return 0, err
	}
	s.ask(1) // rated current, until it has warmed too much
	s.pass(400)
	s.ask(-1)
	s.pass(300)
	for _, x := range []struct {
		by    twin.Misreading
		share float64
	}{
		{twin.Misreading{CellV: 0.45}, 0.4},
		{twin.Misreading{CellV: -1.3}, -0.4},
		{twin.Misreading{TempK: 40}, 0.4},
		{twin.Misreading{TempK: 40}, -0.4},
		{twin.Misreading{TempK: -55}, 0.4},
		{twin.Misreading{TempK: -55}, -0.4},
		{twin.Misreading{SoC: 0.6}, 0.4},
		{twin.Misreading{SoC: -0.6}, -0.4},
		{twin.Misreading{CurrentA: 250}, 0.4},
		{twin.Misreading{CurrentA: -250}, -0.4},
	} {
		s.off(x.by, x.share)
	}
	s.ask(0)
	s.pass(60)
	for _, set := range []func(bool){
		func(on bool) { s.EmergencyStop(0, on) },
		func(on bool) { _ = s.Insulation(0, on) },
		func(on bool) { _ = s.LoseLink(0, on) },
		func(on bool) { s.OpenContactor(0, on) },
	} {
		s.ask(0.3)
		s.pass(30)
		set(true)
		s.pass(20)
		set(false)
		s.pass(20)
		s.SetMode(0, twin.Run)
		s.pass(40)
		s.tell(s.Checkpoint())
	}
	// An opening at little more than open_a that does not go by itself.
	s.ask(10.5 * s.State(0).PackV / 1e3 / m.RatedKW)
	s.pass(20)
	s.OpenContactor(0, true)
	s.pass(10)
	s.tell(s.Checkpoint())
	if s = begin(96.5); err != nil { // levelled at the top
		return 0, err
	}
	for _, share := range []float64{1, 0.1, 0, -0.01, 0} {
		s.ask(share)
		s.pass(400)
	}
	s.tell(s.Checkpoint())
	if s = begin(7.5); err != nil { // taken back at the bottom
		return 0, err
	}
	s.ask(-1)
	s.pass(300)
	s.tell(s.Checkpoint())
	if s = begin(50); err != nil { // a cell burns
		return 0, err
	}
	if err := s.Runaway(0, 1, 3); err != nil {
		return 0, err
	}
	s.pass(400)
	s.tell(s.Checkpoint())
	return h.Sum64(), nil
}

// Every parameter of the strings and of their management acts in the running twin.
func TestEveryParameterActs(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	want, err := tellStory(small(t))
	if err != nil {
		t.Fatal(err)
	}
	if again, _ := tellStory(small(t)); again != want {
		t.Fatal("the story is not always the same")
	}
	n := 0
	for _, root := range []string{"bms", "strings"} {
		numbers(root, func(path []int, name string) {
			n++
			for _, factor := range []float64{1.05, 0.95, 1.5, 0.5, 2, 0.2} {
				m := small(t)
				v := reflect.ValueOf(m.Strings).Elem()
				if root == "bms" {
					v = reflect.ValueOf(m.BMS).Elem()
				}
				if v = field(v, path); !v.IsValid() {
					return // a level that is not used
				}
				scale(v, factor)
				if got, err := tellStory(m); err == nil && got != want {
					return
				}
			}
			t.Errorf("%s: changing it changes nothing", name)
		})
	}
	t.Logf("%d parameters", n)
}

// field follows a path of fields, through pointers; nil ones end it.
func field(v reflect.Value, path []int) reflect.Value {
	for _, n := range path {
		if v.Kind() == reflect.Pointer {
			if v.IsNil() {
				return reflect.Value{}
			}
			v = v.Elem()
		}
		if v.Kind() == reflect.Array {
			v = v.Index(n)
		} else {
			v = v.Field(n)
		}
	}
	return v
}

func scale(v reflect.Value, by float64) {
	const none = 2 * time.Second // stands for a delay of nothing, which no factor changes
	switch {
	case v.CanFloat() && v.Float() == 0:
		v.SetFloat(by)
	case v.CanFloat():
		v.SetFloat(v.Float() * by)
	case v.Int() == 0:
		v.SetInt(int64(by * float64(none)))
	default:
		v.SetInt(int64(by * float64(v.Int())))
	}
}

// numbers calls f for every number that a file of the set called root may hold.
func numbers(root string, f func(path []int, name string)) {
	t := reflect.TypeFor[params.Strings]()
	if root == "bms" {
		t = reflect.TypeFor[params.BMS]()
	}
	var walk func(t reflect.Type, path []int, name string)
	walk = func(t reflect.Type, path []int, name string) {
		switch t.Kind() {
		case reflect.Pointer:
			walk(t.Elem(), path, name)
		case reflect.Array:
			for n := range t.Len() {
				walk(t.Elem(), append(slices.Clip(path), n), name)
			}
		case reflect.Struct:
			for n := range t.NumField() {
				x := t.Field(n)
				key, _, _ := strings.Cut(x.Tag.Get("yaml"), ",")
				if key != "" {
					walk(x.Type, append(slices.Clip(path), n), name+"."+key)
				}
			}
		case reflect.Float64, reflect.Int, reflect.Int64:
			f(path, name)
		}
	}
	walk(t, nil, root)
}
