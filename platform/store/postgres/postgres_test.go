package postgres_test

import (
	"fmt"
	"hash/fnv"
	"testing"

	"yunchu/platform/store/postgres"
	"yunchu/platform/store/postgres/pgtest"
	"yunchu/platform/store/series"
	"yunchu/platform/store/storetest"
)

// opener opens histories on a server, each place in a schema of its own.
func opener(s *pgtest.Server) storetest.Open {
	return func(t *testing.T, at storetest.Place) series.History {
		h, err := postgres.Open(options(s, at))
		if err != nil {
			t.Fatal(err)
		}
		return h
	}
}

func options(s *pgtest.Server, at storetest.Place) postgres.Options {
	name := fnv.New64a()
	_, _ = name.Write([]byte(at.Dir)) // never fails
	return postgres.Options{
		Server: s.At(fmt.Sprintf("h%x", name.Sum64())), Plant: at.Dir, Source: at.Log, Keep: at.Keep, Tiers: at.Tiers,
	}
}

func TestHistory(t *testing.T) {
	t.Parallel()
	storetest.Run(t, opener(pgtest.New(t)))
}
