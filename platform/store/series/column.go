package series

import (
	"encoding/binary"
	"math"

	"github.com/parquet-go/parquet-go/compress/zstd"
	"github.com/parquet-go/parquet-go/deprecated"
	"github.com/parquet-go/parquet-go/encoding/bytestreamsplit"
	"github.com/parquet-go/parquet-go/encoding/delta"
	"github.com/parquet-go/parquet-go/encoding/rle"
	"github.com/parquet-go/parquet-go/encoding/thrift"
	"github.com/parquet-go/parquet-go/format"
)

// The columns of a segment, in their order in the file.
const (
	colSlot = iota
	colDevice
	colTime
	colArrived
	colValues                       // the first of the measured quantities
	colStatus  = colValues + values // the word
	colQuality = colStatus + 1
	colFlags   = colQuality + 1
	columns    = colFlags + 1
)

var columnNames = []string{
	"slot", "device", "time_ms", "arrived_ms",
	"soc_percent", "soh_percent", "voltage_v", "current_a", "power_kw", "temperature_c", "max_charge_kw", "max_discharge_kw",
	"status", "quality", "flags",
}

// columnsOf names the columns of a table.
func columnsOf(step int64) []string {
	if step == 0 {
		return columnNames
	}
	return partNames
}

// Rows of a page. A page ends with a device once it has minPage rows, so that a
// device is read with few rows of its neighbours.
const (
	minPage  = 1 << 11
	maxPage  = 1 << 13
	minParts = 1 << 11 // of a table of parts, which has four times the columns
)

// Encodings and compression. Their values hold no state of a file.
var (
	codec       = zstd.Codec{Level: zstd.SpeedFastest}
	tight       = zstd.Codec{Level: zstd.SpeedBetterCompression} // of what is written once more
	deltaPacked delta.BinaryPackedEncoding
	byteSplit   bytestreamsplit.Encoding
	dictionary  rle.DictionaryEncoding
	protocol    thrift.CompactProtocol
)

// kind is how the values of a column lie in the file.
type kind struct {
	physical format.Type
	scale    int // of a DECIMAL; -1: none
	optional bool
	logical  format.LogicalTypeValue
	legacy   deprecated.ConvertedType // of readers that do not know logical types; -1: none
}

var (
	kindTime   = kind{format.Int64, -1, false, nil, -1}
	kindSlot   = kind{format.Int32, -1, false, &format.IntType{BitWidth: 32}, deprecated.Uint32}
	kindFlags  = kind{format.Int32, -1, false, &format.IntType{BitWidth: 16}, deprecated.Uint16}
	kindWord   = kind{format.ByteArray, -1, false, &format.StringType{}, deprecated.UTF8}
	kindDouble = kind{format.Double, -1, true, nil, -1}
)

const (
	narrow = 9  // decimal digits that an INT32 DECIMAL holds
	wide   = 18 // and an INT64 one
)

// decimal is the kind of a quantity on a decimal grid.
func decimal(scale int, t format.Type) kind {
	return kind{t, scale, true, &format.DecimalType{Scale: int32(scale), Precision: precision(t)}, deprecated.Decimal}
}

func precision(t format.Type) int32 {
	if t == format.Int32 {
		return narrow
	}
	return wide
}

// encoding is how values of a measured quantity lie in a page.
func (k kind) encoding() format.Encoding {
	if k.physical == format.Double {
		return format.ByteStreamSplit
	}
	return format.DeltaBinaryPacked
}

// element describes the column in the schema.
func (k kind) element(name string) format.SchemaElement {
	e := format.SchemaElement{Name: name, Type: thrift.New(k.physical), RepetitionType: thrift.New(format.Required)}
	if k.optional {
		e.RepetitionType = thrift.New(format.Optional)
	}
	if k.logical != nil {
		e.LogicalType.Value = k.logical
	}
	if k.legacy >= 0 {
		e.ConvertedType = thrift.New(k.legacy)
	}
	if k.scale >= 0 {
		e.Scale, e.Precision = thrift.New(int32(k.scale)), thrift.New(precision(k.physical))
	}
	return e
}

// The coarsest and the finest grid that is tried. Nearly everything that devices
// report fits the coarsest, so that the files of a plant have one schema; a reader
// that takes the schema of the first file for all (DuckDB does) would otherwise
// round the values of the others. It costs a sixth more space than the tightest.
const (
	baseScale = 3
	maxScale  = 6
)

var pow10 = [maxScale + 1]float64{1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6}

// grid finds the decimal scale, from where it stands up, on which all values it is
// shown lie exactly: v is the double nearest to k / 10^scale for an integer k below
// 2^53. What lies on one grid lies on every finer one, so one pass is enough.
type grid struct {
	scale int // above maxScale: there is none
	nulls bool
	peak  float64 // largest magnitude
}

func (g *grid) look(v []float64) {
	if g.scale > maxScale {
		for _, x := range v {
			g.nulls = g.nulls || x != x
		}
		return
	}
	p, peak := pow10[g.scale], g.peak
	for i, x := range v {
		if a := math.Abs(x); a > peak {
			peak = a
		}
		if math.RoundToEven(x*p)/p == x {
			continue
		}
		if x != x {
			g.nulls = true
			continue
		}
		g.peak = peak
		g.scale++
		g.look(v[i:])
		return
	}
	g.peak = peak
}

// kind is the column for what was shown.
func (g *grid) kind() kind {
	if g.scale > maxScale {
		return kindDouble
	}
	switch top := g.peak * pow10[g.scale]; {
	case top < 1e9-1:
		return decimal(g.scale, format.Int32)
	case top < 1<<53:
		return decimal(g.scale, format.Int64)
	}
	return kindDouble
}

// The plain form of values, as statistics hold them.
func plain32(v int32) []byte      { return binary.LittleEndian.AppendUint32(nil, uint32(v)) }
func plain64(v int64) []byte      { return binary.LittleEndian.AppendUint64(nil, uint64(v)) }
func plainFloat(v float64) []byte { return binary.LittleEndian.AppendUint64(nil, math.Float64bits(v)) }
