package aging_test

import (
	"testing"

	"yunchu/twin/aging"
	"yunchu/twin/params"
)

// laws of an ageing set.
func laws(p *params.Aging) aging.Params {
	out := aging.Params{Anode: (*aging.Anode)(p.Anode), Scale: 1}
	switch c := p.Calendar; {
	case c.Naumann2018 != nil:
		out.Calendar = (*aging.Naumann2018)(c.Naumann2018)
	case c.Swierczynski2015 != nil:
		out.Calendar = (*aging.Swierczynski2015)(c.Swierczynski2015)
	case c.Schimpe2018 != nil:
		out.Calendar = (*aging.SchimpeCalendar)(c.Schimpe2018)
	case c.BLAST2019 != nil:
		out.Calendar = (*aging.BLASTCalendar)(c.BLAST2019)
	}
	switch c := p.Cycle; {
	case c.Naumann2020 != nil:
		out.Cycle = (*aging.Naumann2020)(c.Naumann2020)
	case c.BLAST2019 != nil:
		out.Cycle = (*aging.BLASTCycle)(c.BLAST2019)
	case c.Wang2011 != nil:
		out.Throughput = (*aging.Wang2011)(c.Wang2011)
	case c.Schimpe2018 != nil:
		out.Throughput = (*aging.SchimpeCycle)(c.Schimpe2018)
	}
	return out
}

func load(t testing.TB, set string, scale float64) *aging.Model {
	t.Helper()
	p, err := params.LoadAging(set)
	if err != nil {
		t.Fatal(err)
	}
	l := laws(p)
	l.Scale = scale
	m, err := aging.New(l)
	if err != nil {
		t.Fatal(err)
	}
	return m
}
