package postgres

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"yunchu/platform/store/series"
)

const (
	defaultSchema = "yunchu"
	// oldestServer is the first version of PostgreSQL that this is tested with.
	oldestServer = 150000
)

// errLocked: another process writes to the schema.
var errLocked = fmt.Errorf("%w: another process writes to it", ErrRefused)

// migrations take the tables from one format to the next; the format is how many were done.
var migrations = []string{
	`create table state (
		only_one   boolean primary key default true check (only_one),
		format     integer not null,
		plant      text not null,
		seq        bigint not null, -- of the log, that is committed
		arrived_ms bigint not null, -- latest arrival of what is committed
		built_ms   bigint           -- hours before it have tiers, but for stale ones
	);
	create table device (slot integer primary key, id text not null);
	create table reading (
		slot integer not null, at_ms bigint not null, arrived_ms bigint not null,
		soc_percent float8, soh_percent float8, voltage_v float8, current_a float8, power_kw float8, temperature_c float8,
		max_charge_kw float8, max_discharge_kw float8,
		status smallint not null, word text, quality smallint not null, flags integer not null,
		primary key (slot, at_ms)
	) partition by range (at_ms);
	create table reading_other partition of reading default;
	create index reading_at on reading using brin (at_ms) with (pages_per_range = 16);
	create table kept (step_ms bigint primary key, since_ms bigint not null); -- what is older is gone; step 0: readings
	insert into kept values (0, -9223372036854775808);
	create table stale (hour_ms bigint not null, slot integer not null, seq bigint not null, primary key (hour_ms, slot)); -- slot -1: all
	create table gap (from_ms bigint not null, to_ms bigint not null, reason text not null);`,
	`create view readings as select coalesce(d.id, r.slot::text) as device, to_timestamp(r.at_ms / 1000.0) as measured_at, to_timestamp(r.arrived_ms / 1000.0) as arrived_at,
		r.soc_percent, r.soh_percent, r.voltage_v, r.current_a, r.power_kw, r.temperature_c, r.max_charge_kw, r.max_discharge_kw,
		case r.status when 0 then coalesce(r.word, '') else (array['charging','discharging','idle','standby','fault','offline','maintenance'])[r.status] end as status,
		(array['good','suspect','bad'])[r.quality + 1] as quality, r.flags, r.slot, r.at_ms
	from reading r left join device d using (slot)`,
}

// config is how the pool connects.
func (v *Server) config() (*pgxpool.Config, error) {
	c, err := pgxpool.ParseConfig(v.DSN)
	if err != nil {
		return nil, plain(err)
	}
	if v.Password != "" {
		c.ConnConfig.Password = v.Password
	}
	if c.ConnConfig.ConnectTimeout == 0 {
		c.ConnConfig.ConnectTimeout = 5 * time.Second
	}
	schema := v.Schema
	if schema == "" {
		schema = defaultSchema
	}
	maps.Copy(c.ConnConfig.RuntimeParams, map[string]string{
		"application_name": "yunchu",
		"search_path":      pgx.Identifier{schema}.Sanitize(),
		// What is committed is on the disk: the log is trimmed past it.
		"synchronous_commit": "on",
		// Plans know the bounds, so that only the partitions that are asked for are opened.
		"plan_cache_mode":                     "force_custom_plan",
		"jit":                                 "off",
		"client_encoding":                     "UTF8",
		"extra_float_digits":                  "3",
		"idle_in_transaction_session_timeout": "300000",
	})
	c.MaxConns = connections
	c.PingTimeout = 5 * time.Second
	return c, nil
}

// plain is an error without what pgx repeats of the connection string.
func plain(err error) error {
	if e, ok := errors.AsType[*pgconn.ParseConfigError](err); ok {
		if in := errors.Unwrap(e); in != nil {
			return fmt.Errorf("the connection string cannot be read: %w", in)
		}
		return errors.New("the connection string cannot be read")
	}
	return err
}

// connect makes the connection that writes and brings the schema to this program's format.
func (s *Store) connect(ctx context.Context) (*pgx.Conn, error) {
	w, err := pgx.ConnectConfig(ctx, s.config.Copy())
	if err != nil {
		return nil, err
	}
	if err := s.prepare(ctx, w); err != nil {
		_ = w.Close(context.WithoutCancel(ctx)) // err says why
		return nil, err
	}
	s.stand(nil)
	return w, nil
}

// prepare makes a connection the one that writes.
func (s *Store) prepare(ctx context.Context, w *pgx.Conn) error {
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	if err := s.inspect(ctx, w); err != nil {
		return err
	}
	if err := pgx.BeginFunc(ctx, w, func(tx pgx.Tx) error { return s.migrate(ctx, tx) }); err != nil {
		return err
	}
	if err := s.agree(ctx, w); err != nil {
		return err
	}
	_, err := w.Exec(ctx, `create temp table arriving (like reading) on commit delete rows`)
	return err
}

// inspect refuses servers that cannot do what is promised, and takes the schema for this
// process.
func (s *Store) inspect(ctx context.Context, w *pgx.Conn) error {
	var version, fsync, recovery string
	var locked bool
	err := w.QueryRow(ctx, `select current_setting('server_version_num'), current_setting('fsync'), pg_is_in_recovery()::text,
		pg_try_advisory_lock(hashtextextended('yunchu history ' || $1, 0))`, s.opt.Schema).Scan(&version, &fsync, &recovery, &locked)
	if err != nil {
		return err
	}
	n, err := strconv.Atoi(version)
	switch {
	case err != nil:
		return err
	case n < oldestServer:
		return fmt.Errorf("%w: PostgreSQL %d or newer is needed, and this is %s", ErrRefused, oldestServer/10_000, w.PgConn().ParameterStatus("server_version"))
	case fsync != "on":
		return fmt.Errorf("%w: fsync is off there, so what it has committed may be lost with the power", ErrRefused)
	case recovery == "true":
		return fmt.Errorf("%w: the server is a standby that takes no writes", ErrRefused)
	case !locked:
		return errLocked
	}
	return nil
}

func errForeign(schema string) error {
	return fmt.Errorf("%w: the schema %s holds the history of another plant; choose another schema", ErrRefused, schema)
}

// migrate makes the schema what this program needs.
func (s *Store) migrate(ctx context.Context, tx pgx.Tx) error {
	schema := pgx.Identifier{s.opt.Schema}.Sanitize()
	var there, begun bool
	err := tx.QueryRow(ctx, `select to_regnamespace($1) is not null, to_regclass($2) is not null`, schema, schema+".state").Scan(&there, &begun)
	if err != nil {
		return err
	}
	if !there {
		if _, err := tx.Exec(ctx, "create schema "+schema); err != nil {
			return fmt.Errorf("make the schema: %w", err)
		}
	}
	format, plant := 0, s.opt.Plant
	if begun {
		if err := tx.QueryRow(ctx, `select format, plant from state`).Scan(&format, &plant); err != nil {
			return err
		}
	}
	switch {
	case plant != s.opt.Plant:
		return errForeign(s.opt.Schema)
	case format > len(migrations):
		return fmt.Errorf("%w: its tables have format %d and this program knows formats up to %d: run a newer yunchu", ErrRefused, format, len(migrations))
	}
	for i, m := range migrations[format:] {
		if _, err := tx.Exec(ctx, m); err != nil {
			return fmt.Errorf("upgrade the tables to format %d: %w", format+i+1, err)
		}
	}
	if !begun {
		_, err = tx.Exec(ctx, `insert into state (format, plant, seq, arrived_ms) values ($1, $2, 0, 0)`, len(migrations), plant)
	} else if format < len(migrations) {
		_, err = tx.Exec(ctx, `update state set format = $1`, len(migrations))
		s.log.Info("history upgraded", "store", Kind, "format", len(migrations))
	}
	if err != nil {
		return err
	}
	return s.tables(ctx, tx)
}

// tierTable is the table of a tier, such as tier_15m.
func tierTable(step int64) string {
	d := time.Duration(step) * time.Millisecond
	switch {
	case d%time.Hour == 0:
		return fmt.Sprintf("tier_%dh", d/time.Hour)
	case d%time.Minute == 0:
		return fmt.Sprintf("tier_%dm", d/time.Minute)
	}
	return fmt.Sprintf("tier_%ds", d/time.Second)
}

// tables makes the tables of tiers that are wanted, and drops those of others. The hours of
// a tier that is new are made of what readings there are.
func (s *Store) tables(ctx context.Context, tx pgx.Tx) error {
	rows, err := tx.Query(ctx, `select step_ms from kept where step_ms > 0`)
	if err != nil {
		return err
	}
	there, err := pgx.CollectRows(rows, pgx.RowTo[int64])
	if err != nil {
		return err
	}
	fresh := false
	for _, t := range s.opt.Tiers {
		step := t.Step.Milliseconds()
		if i := slices.Index(there, step); i >= 0 {
			there = slices.Delete(there, i, i+1)
			continue
		}
		fresh = true
		var cols strings.Builder
		for _, c := range series.PartColumns(series.AllFields) {
			kind := "float8"
			if c.Whole() {
				kind = "bigint not null"
			}
			fmt.Fprintf(&cols, ", %s %s", c.Name, kind)
		}
		name := tierTable(step)
		for _, q := range []string{
			fmt.Sprintf(`create table %s (slot integer not null, at_ms bigint not null, word text%s, primary key (slot, at_ms)) partition by range (at_ms)`, name, cols.String()),
			fmt.Sprintf(`create table %s_other partition of %s default`, name, name),
		} {
			if _, err := tx.Exec(ctx, q); err != nil {
				return err
			}
		}
		if _, err := tx.Exec(ctx, `insert into kept select $1, since_ms from kept where step_ms = 0`, step); err != nil {
			return err
		}
	}
	for _, step := range there {
		if _, err := tx.Exec(ctx, "drop table "+tierTable(step)); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `delete from kept where step_ms = $1`, step); err != nil {
			return err
		}
	}
	if fresh {
		_, err = tx.Exec(ctx, `insert into stale select distinct at_ms - mod(mod(at_ms, $1) + $1, $1), -1, 0 from reading
			where at_ms < (select built_ms from state) on conflict do nothing`, hour)
	}
	return err
}

// agree holds what lies there against the log, and takes over what it says.
func (s *Store) agree(ctx context.Context, w *pgx.Conn) error {
	first, last, err := s.opt.Source.Bounds()
	if err != nil {
		return err
	}
	var seq, arrived int64
	var built *int64
	if err := w.QueryRow(ctx, `select seq, arrived_ms, built_ms from state`).Scan(&seq, &arrived, &built); err != nil {
		return err
	}
	covered := uint64(seq)
	if covered > last {
		return fmt.Errorf("%w: it has seen sequence %d and the log ends at %d: it is not the history of this log; where the log was restored from a backup, run yunchu history rewind", ErrRefused, covered, last)
	}
	since, err := keptSince(ctx, w)
	if err != nil {
		return err
	}
	spans := map[int64][]int64{}
	for step := range since {
		if spans[step], err = partitions(ctx, w, tableOf(step)); err != nil {
			return err
		}
	}
	holes, err := readGaps(ctx, w)
	if err != nil {
		return err
	}
	s.writing.Lock()
	defer s.writing.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.built = unknown
	if built != nil {
		s.built = *built
	}
	clear(s.named)
	s.since, s.spans, s.holes = since, spans, holes
	s.staleHours, s.todo = true, true
	s.hole = ""
	if first > covered+1 {
		s.hole = fmt.Sprintf("readings of the log's sequences %d to %d are neither here nor in the log", covered+1, first-1)
		if covered == 0 {
			s.hole = fmt.Sprintf("readings up to the log's sequence %d are older than this store", first-1)
		}
		s.faults = append(s.faults, series.Fault{Err: errors.New(s.hole)})
		s.log.Error("history damaged", "store", Kind, "error", s.hole)
		covered = first - 1
	}
	s.known, s.covered = true, covered
	s.lastSeq = max(s.lastSeq, covered)
	s.buffer.forget(covered)
	return nil
}

func readGaps(ctx context.Context, w querier) ([]series.Gap, error) {
	rows, err := w.Query(ctx, `select from_ms, to_ms, reason from gap order by from_ms`)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(r pgx.CollectableRow) (g series.Gap, err error) {
		err = r.Scan(&g.From, &g.To, &g.Reason)
		return g, err
	})
}

func keptSince(ctx context.Context, w querier) (map[int64]int64, error) {
	rows, err := w.Query(ctx, `select step_ms, since_ms from kept`)
	if err != nil {
		return nil, err
	}
	since := map[int64]int64{}
	var step, at int64
	_, err = pgx.ForEachRow(rows, []any{&step, &at}, func() error {
		since[step] = at
		return nil
	})
	return since, err
}

// querier is a connection, a pool or a transaction.
type querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
	Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
}

// Partitions are of a day, or of thirty where a table has few rows. What was measured
// outside of these bounds, by a device whose clock is wrong, is in one table of its own, so
// that nobody can make tables without end.
const (
	hour     = int64(time.Hour / time.Millisecond)
	day      = 24 * hour
	earliest = int64(946_684_800_000)   // 2000
	latest   = int64(7_258_118_400_000) // 2200
)

// span is the length of a partition.
func span(step int64) int64 {
	if step >= 15*60_000 {
		return 30 * day
	}
	return day
}

func tableOf(step int64) string {
	if step == 0 {
		return "reading"
	}
	return tierTable(step)
}

// partition is the begin of the partition that at lies in; false for the table of its own.
func partition(step, at int64) (int64, bool) {
	begin := series.Floor(at, span(step))
	return begin, begin >= earliest && begin < latest
}

func partitionName(table string, begin int64) string {
	return table + time.UnixMilli(begin).UTC().Format("_20060102")
}

// partitions are the begins of those that a table has.
func partitions(ctx context.Context, w querier, table string) ([]int64, error) {
	rows, err := w.Query(ctx, `select c.relname from pg_inherits i join pg_class c on c.oid = i.inhrelid
		where i.inhparent = $1::regclass`, table)
	if err != nil {
		return nil, err
	}
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, err
	}
	var out []int64
	for _, n := range names {
		t, err := time.Parse("20060102", strings.TrimPrefix(n, table+"_"))
		if err == nil {
			out = append(out, t.UnixMilli())
		}
	}
	slices.Sort(out)
	return out, nil
}

// ensure makes the partitions that times of a table lie in.
func (s *Store) ensure(ctx context.Context, w querier, step int64, at map[int64]bool) error {
	for _, begin := range slices.Sorted(maps.Keys(at)) {
		s.mu.Lock()
		_, there := slices.BinarySearch(s.spans[step], begin)
		s.mu.Unlock()
		if there {
			continue
		}
		table := tableOf(step)
		// To attach one waits for nobody who reads the others, and nobody for it.
		name := partitionName(table, begin)
		if _, err := w.Exec(ctx, fmt.Sprintf(`begin; create table if not exists %s (like %s including all);
			alter table %s attach partition %s for values from (%d) to (%d); commit`,
			name, table, table, name, begin, begin+span(step))); err != nil {
			return fmt.Errorf("make a partition: %w", err)
		}
		s.mu.Lock()
		if i, there := slices.BinarySearch(s.spans[step], begin); !there {
			s.spans[step] = slices.Insert(slices.Clone(s.spans[step]), i, begin)
		}
		s.mu.Unlock()
	}
	return nil
}
