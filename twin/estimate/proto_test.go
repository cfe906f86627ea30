package estimate

import (
	"bufio"
	"fmt"
	"math"
	"os"
	"strconv"
	"strings"
	"testing"

	"yunchu/twin/params"
)

func readCSV(path string) map[string][]float64 {
	f, err := os.Open(path)
	if err != nil {
		panic(err)
	}
	defer f.Close()
	sc := bufio.NewScanner(f)
	sc.Scan()
	head := strings.Split(sc.Text(), ",")
	out := map[string][]float64{}
	for sc.Scan() {
		for i, s := range strings.Split(sc.Text(), ",") {
			x, err := strconv.ParseFloat(s, 64)
			if err != nil {
				x = math.NaN()
			}
			out[head[i]] = append(out[head[i]], x)
		}
	}
	return out
}

func TestProto(t *testing.T) {
	dir := "/tmp/w/est/"
	recs := map[int]map[string][]float64{}
	for _, c := range []int{5, 25, 45} {
		recs[c] = readCSV(fmt.Sprintf("/work/shared/data/twin/measured/lfp_a123_esc_uccs/a123_dyn_P%02d.csv", c))
	}
	quiet := os.Getenv("QUIET") != ""
	var sumR, worstR, worstM, looR, looM float64
	cnt := 0.0
	for _, name := range []string{"a_5_25", "a_5_45", "a_25_45", "a_5", "a_25", "a_45", "a_5_25_45"} {
		p, err := params.LoadCell(dir + name + ".yaml")
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range []int{5, 25, 45} {
			for _, known := range []bool{true, false} {
				if !quiet {
					fmt.Printf("%-10s %2d known %-5v", name, c, known)
				}
				for _, v := range []struct{ soc, add, gain float64 }{{0.8, 0.02, 1.005}, {1, 0, 1}, {0.8, -0.02, 0.995}, {0.6, 0.02, 1.005}} {
					r := recs[c]
					f, err := New(p, Options{SoC: v.soc, OffsetAfterS: envf("OFFAFTER", 0), ModelSigmaV: envf("MODSIG", 0), ModelTauS: envf("MODTAU", 0), SensorSigmaV: envf("SENS", 0), ResSigma: envf("RESSIG", 0), TableSigma: envf("TABSIG", 0), OffsetSigmaA: envf("OFFSIG", 0), FixedResistance: envf("FIXR", 0) > 0, FixedCapacity: envf("FIXQ", 0) > 0})
					if err != nil {
						t.Fatal(err)
					}
					tk := 298.15
					if known {
						tk = float64(c) + 273.15
					}
					var s, mx, mx2, nis float64
					n := 0
					var res Result
					for k := range r["t_s"] {
						dt := 1.0
						if k > 0 {
							dt = r["t_s"][k] - r["t_s"][k-1]
						}
						res = f.Step(dt, r["I_A"][k]*v.gain+v.add, r["V_V"][k], tk)
						truth := 1 - (r["disAh"][k]-p.CoulombicEfficiency*r["chgAh"][k])/p.CapacityAh
						if os.Getenv("TRACE") == name && c == 25 && known && v.soc == 0.8 && v.add > 0 && k < 3600 && k%120 == 0 {
							fmt.Printf("\n   %6.0f z %.3f true %.3f sig %.2f%% e %.1fmV h %.2f R %.3f v1 %.1f v2 %.1f", r["t_s"][k], res.SoC, truth, 100*res.SoCSigma, 1e3*res.InnovationV, f.x[iHyst], res.ResistanceFactor, 1e3*f.x[iV1], 1e3*f.x[iV2])
						}
						if truth >= 0.1 && truth <= 0.9 && r["t_s"][k] >= 3600 {
							e := res.SoC - truth
							s += e * e
							if math.Abs(e) > math.Abs(mx) {
								mx = e
							}
							mx2 = max(mx2, math.Abs(e)/res.SoCSigma)
							nis += res.NIS
							n++
							if os.Getenv("TRACE") == name && k%600 == 0 && c == 25 && known && v.soc == 0.8 && v.add > 0 {
								fmt.Printf("\n   %6.0f z %.3f true %.3f e %.2f%% sig %.2f%% off %.4f h %.2f R %.3f v2 %.1f", r["t_s"][k], res.SoC, truth, 100*e, 100*res.SoCSigma, res.CurrentOffsetA, f.x[iHyst], res.ResistanceFactor, 1e3*f.x[iV2])
							}
						}
					}
					rm := 100 * math.Sqrt(s/float64(n))
					sumR += rm
					cnt++
					worstR, worstM = max(worstR, rm), max(worstM, 100*math.Abs(mx))
					if known && (name == "a_5_25" && c == 45 || name == "a_5_45" && c == 25 || name == "a_25_45" && c == 5) {
						looR, looM = max(looR, rm), max(looM, 100*math.Abs(mx))
					}
					if quiet {
						continue
					}
					fmt.Printf(" | %.2f %5.2f s%.1f nis %.2f R%.2f Q%.2f off %.0f", 100*math.Sqrt(s/float64(n)), 100*mx, mx2, nis/float64(n), res.ResistanceFactor, res.CapacityFactor, 1e3*res.CurrentOffsetA)
				}
				if !quiet {
					fmt.Println()
				}
			}
		}
	}
	fmt.Printf("mean %.2f worst %.2f max %.2f | loo %.2f %.2f\n", sumR/cnt, worstR, worstM, looR, looM)
}
func envf(n string, d float64) float64 {
	if x, err := strconv.ParseFloat(os.Getenv(n), 64); err == nil {
		return x
	}
	return d
}
