package load

import (
	"fmt"
	"strconv"
	"strings"

	"yunchu/harness/scenario"
)

// Of is the load that a file describes.
func Of(e *scenario.LoadEntry, t Target, asked []string, seed uint64) Spec {
	s := Spec{
		Target: t, Name: e.Name, API: e.API, Users: e.Users, Random: e.Arrivals == "poisson",
		Closed: e.Closed, Think: e.Think, Ramp: e.Ramp, Batch: e.Batch, Senders: e.Senders(), Asked: asked, Query: e.Query, Seed: seed,
	}
	if len(e.Stages) > 0 {
		var stages []Stage
		for _, x := range e.Stages {
			stages = append(stages, Stage(x))
		}
		s.Profile = Stages(e.Rate, stages)
	} else {
		s.Profile = Steady(e.Rate, e.For, e.Ramp)
	}
	if x := e.Spike; x != nil {
		s.Profile = s.Profile.With(Spike(*x))
	}
	return s
}

// Shape is a load in words.
func Shape(e *scenario.LoadEntry) string {
	users := strconv.Itoa(e.Users) + " users"
	length := " for " + scenario.FormatDuration(e.For)
	switch {
	case e.API == WS:
		return users + " subscribed" + length
	case e.Closed:
		return users + " in a closed loop, thinking " + scenario.FormatDuration(e.Think) + length
	}
	parts := []string{users + ", " + number(e.Rate) + "/s" + length}
	if e.Ramp > 0 {
		parts = append(parts, "ramp "+scenario.FormatDuration(e.Ramp))
	}
	if len(e.Stages) > 0 {
		parts[0] = users + ", from " + number(e.Rate) + "/s"
		for _, s := range e.Stages {
			parts = append(parts, "to "+number(s.Rate)+"/s in "+scenario.FormatDuration(s.For))
		}
	}
	if x := e.Spike; x != nil {
		parts = append(parts, fmt.Sprintf("spike of %s/s at %s for %s", number(x.Rate), scenario.FormatDuration(x.At), scenario.FormatDuration(x.For)))
	}
	if e.Batch > 1 {
		parts = append(parts, strconv.Itoa(e.Batch)+" readings each")
	}
	arrivals := "even arrivals"
	if e.Arrivals == "poisson" {
		arrivals = "Poisson arrivals"
	}
	return strings.Join(append(parts, arrivals), ", ")
}

func number(v float64) string { return strconv.FormatFloat(v, 'f', -1, 64) }
