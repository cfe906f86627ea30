package params

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
)

//go:embed aging/*.yaml
var agingFiles embed.FS

// AgingSets returns the names of the ageing sets that ship, sorted.
func AgingSets() []string {
	entries, err := agingFiles.ReadDir("aging")
	if err != nil {
		panic(err) // an embedded folder cannot fail to list
	}
	names := make([]string, len(entries))
	for i, e := range entries {
		names[i] = strings.TrimSuffix(e.Name(), ".yaml")
	}
	return names
}

// LoadAging returns the ageing set called name, or the one in the file at that
// path. The error lists every fault as "path:line:col: key: message".
func LoadAging(nameOrPath string) (*Aging, error) {
	src, err := agingFiles.ReadFile("aging/" + nameOrPath + ".yaml")
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrInvalid) {
		src, err = os.ReadFile(nameOrPath)
	}
	if err != nil {
		return nil, fmt.Errorf("load ageing %s: %w (sets that ship: %s)", nameOrPath, err, strings.Join(AgingSets(), ", "))
	}
	return ParseAging(nameOrPath, src)
}

// ParseAging decodes an ageing file; file is its name in messages.
func ParseAging(file string, src []byte) (*Aging, error) {
	var a Aging
	if err := decode(file, src, &a); err != nil {
		return nil, err
	}
	if err := a.Validate(); err != nil {
		return nil, locate(file, src, err)
	}
	return &a, nil
}

// Aging is how a cell ages: a law for the time that passes and a law for its use.
// Losses are shares of the capacity and the resistance of a new cell. The form of
// each law stands in package aging, whose types have the fields of those here.
type Aging struct {
	Name     string        `yaml:"name"`
	Kind     string        `yaml:"kind"` // Aging
	Cell     string        `yaml:"cell"` // that the laws were fitted to
	Sources  AgingSources  `yaml:"sources"`
	Valid    string        `yaml:"valid"`   // range of the tests behind the laws
	TMaxK    float64       `yaml:"T_max_K"` // hotter counts as this
	Anode    *Anode        `yaml:"anode"`   // for laws that ask for its potential
	Calendar CalendarAging `yaml:"calendar"`
	Cycle    CycleAging    `yaml:"cycle"`
}

// AgingSources says where the numbers of a set come from.
type AgingSources struct {
	Calendar string `yaml:"calendar"`
	Cycle    string `yaml:"cycle"`
	Anode    string `yaml:"anode"`
}

// CalendarAging holds one law at most.
type CalendarAging struct {
	Naumann2018      *Naumann2018      `yaml:"naumann2018"`
	Swierczynski2015 *Swierczynski2015 `yaml:"swierczynski2015"`
	Schimpe2018      *SchimpeCalendar  `yaml:"schimpe2018"`
	BLAST2019        *BLASTCalendar    `yaml:"blast2019"`
}

// CycleAging holds one law at most.
type CycleAging struct {
	Naumann2020 *Naumann2020  `yaml:"naumann2020"`
	Wang2011    *Wang2011     `yaml:"wang2011"`
	Schimpe2018 *SchimpeCycle `yaml:"schimpe2018"`
	BLAST2019   *BLASTCycle   `yaml:"blast2019"`
}

// Anode is the open-circuit potential of a graphite electrode.
type Anode struct {
	XEmpty     float64   `yaml:"x_empty"` // stoichiometry at state of charge 0
	XFull      float64   `yaml:"x_full"`  // at 1
	Offset     float64   `yaml:"offset_V"`
	ExpHeight  float64   `yaml:"exp_height_V"`
	ExpRate    float64   `yaml:"exp_rate"`
	StepHeight []float64 `yaml:"step_height_V"`
	StepCentre []float64 `yaml:"step_centre"`
	StepWidth  []float64 `yaml:"step_width"`
}

// Naumann2018 is the calendar law of the Sony cell.
type Naumann2018 struct {
	GasConstant float64 `yaml:"gas_constant_J_per_molK"`
	TRefK       float64 `yaml:"T_ref_K"`
	SoCCentre   float64 `yaml:"soc_centre"`
	QRef        float64 `yaml:"q_ref"` // pu/s^QExponent
	QActivation float64 `yaml:"q_Ea_J_per_mol"`
	QSoCSlope   float64 `yaml:"q_soc_slope"`
	QSoCOffset  float64 `yaml:"q_soc_offset"`
	QSoCPower   int     `yaml:"q_soc_power"`
	QExponent   float64 `yaml:"q_exponent"`
	RRef        float64 `yaml:"r_ref"` // pu/s^RExponent
	RActivation float64 `yaml:"r_Ea_J_per_mol"`
	RSoCSlope   float64 `yaml:"r_soc_slope"`
	RSoCOffset  float64 `yaml:"r_soc_offset"`
	RSoCPower   int     `yaml:"r_soc_power"`
	RExponent   float64 `yaml:"r_exponent"`
}

// Naumann2020 is the cycle law of the Sony cell.
type Naumann2020 struct {
	QRateSlope   float64 `yaml:"q_rate_slope_pct_h"` // % h
	QRateOffset  float64 `yaml:"q_rate_offset_pct"`  // %
	QDepthSlope  float64 `yaml:"q_depth_slope"`      //
	QDepthOffset float64 `yaml:"q_depth_offset"`     //
	QDepthCentre float64 `yaml:"q_depth_centre"`     //
	QExponent    float64 `yaml:"q_exponent"`         // of full equivalent cycles
	RRateSlope   float64 `yaml:"r_rate_slope_pct_h"` // % h
	RRateOffset  float64 `yaml:"r_rate_offset_pct"`  // %
	RDepthSlope  float64 `yaml:"r_depth_slope"`      //
	RDepthOffset float64 `yaml:"r_depth_offset"`     //
	RDepthCentre float64 `yaml:"r_depth_centre"`     //
	RExponent    float64 `yaml:"r_exponent"`         // of full equivalent cycles
}

// Swierczynski2015 is the calendar law of the A123 cell.
type Swierczynski2015 struct {
	SoCSlope   float64 `yaml:"soc_slope_pct"` // %
	SoCPower   float64 `yaml:"soc_power"`
	SoCOffset  float64 `yaml:"soc_offset_pct"` // %
	TempSlope  float64 `yaml:"temp_slope"`
	TempPower  float64 `yaml:"temp_power"`
	TempOffset float64 `yaml:"temp_offset"`
	Exponent   float64 `yaml:"exponent"` // of months
	MonthS     float64 `yaml:"month_s"`  // s
}

// Wang2011 is the cycle law of the A123 cell.
type Wang2011 struct {
	GasConstant     float64   `yaml:"gas_constant_J_per_molK"`
	Activation      float64   `yaml:"Ea_J_per_mol"`
	ActivationSlope float64   `yaml:"Ea_slope_J_h_per_mol"` // J h/mol: falls by so much per 1/h of C-rate
	RatePerH        []float64 `yaml:"rate_per_h"`           // 1/h, strictly rising
	B               []float64 `yaml:"B_pct"`                // %/Ah^Exponent at those rates
	Exponent        float64   `yaml:"exponent"`             // of the charge in Ah
	CapacityAh      float64   `yaml:"capacity_Ah"`
	CountedShare    float64   `yaml:"counted_share"` // of the charge that flows in both directions, 0..1
}

// SchimpeCalendar is the calendar law of Schimpe et al. for the Sony cell.
type SchimpeCalendar struct {
	GasConstant float64 `yaml:"gas_constant_J_per_molK"`
	Faraday     float64 `yaml:"faraday_C_per_mol"`
	TRefK       float64 `yaml:"T_ref_K"`
	Ref         float64 `yaml:"ref"` // pu/h^Exponent
	Activation  float64 `yaml:"Ea_J_per_mol"`
	Alpha       float64 `yaml:"alpha"`
	K0          float64 `yaml:"k0"`
	URef        float64 `yaml:"U_ref_V"`
	Exponent    float64 `yaml:"exponent"` // of hours
}

// SchimpeCycle is the cycle law of Schimpe et al. for the Sony cell.
type SchimpeCycle struct {
	GasConstant        float64 `yaml:"gas_constant_J_per_molK"`
	TRefK              float64 `yaml:"T_ref_K"`
	CapacityAh         float64 `yaml:"capacity_Ah"`
	RateRefPerH        float64 `yaml:"rate_ref_per_h"`
	Exponent           float64 `yaml:"exponent"`          // of the charge in Ah, warm and cold
	WarmRef            float64 `yaml:"warm_ref"`          // pu/Ah^Exponent
	WarmActivation     float64 `yaml:"warm_Ea_J_per_mol"` //
	ColdRef            float64 `yaml:"cold_ref"`          // pu/Ah^Exponent
	ColdActivation     float64 `yaml:"cold_Ea_J_per_mol"` //
	ColdBetaH          float64 `yaml:"cold_beta_h"`       // h
	ColdFullRef        float64 `yaml:"cold_full_ref"`     // pu/Ah
	ColdFullActivation float64 `yaml:"cold_full_Ea_J_per_mol"`
	ColdFullBetaH      float64 `yaml:"cold_full_beta_h"` // h
	ColdFullSoCRef     float64 `yaml:"cold_full_soc_ref"`
}

// BLASTCalendar is the calendar law of the cell of more than 250 Ah.
type BLASTCalendar struct {
	Ref       float64 `yaml:"ref"`           // pu/day^Exponent
	TempK     float64 `yaml:"temp_K"`        // K
	AnodeKPer float64 `yaml:"anode_K_per_V"` // K/V
	Exponent  float64 `yaml:"exponent"`      // of days
}

// BLASTCycle is the cycle law of the cell of more than 250 Ah.
type BLASTCycle struct {
	Offset     float64 `yaml:"offset"`       // pu
	DepthSlope float64 `yaml:"depth_slope"`  // pu
	RateSlopeH float64 `yaml:"rate_slope_h"` // pu h
	WarmK      float64 `yaml:"warm_K"`       // K
	HotK       float64 `yaml:"hot_K"`        // K
	Exponent   float64 `yaml:"exponent"`     // of full equivalent cycles
}
