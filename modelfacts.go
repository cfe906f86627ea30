package main

import (
	"slices"

	"yunchu/harness/scenario"
	"yunchu/hil/can"
	"yunchu/hil/modbus"
	"yunchu/twin/params"
)

// scenarioOptions are what readers of scenarios, rigs and configurations know of models,
// cells and what wires carry.
func scenarioOptions() scenario.Options {
	names := params.Models()
	return scenario.Options{
		Models: func(n string) bool { return slices.Contains(names, n) }, ModelNames: names, CellNames: params.Cells(),
		Model: modelFacts, Procedure: shippedProcedure, ProcedureNames: procedureNames(),
		Profiles:  scenario.Sets{Names: modbus.Shipped(), Look: look(modbus.LoadProfile)},
		Databases: scenario.Sets{Names: can.Shipped(), Look: look(can.LoadProfile)},
	}
}

// look reads a file for what is wrong with it.
func look[T any](load func(nameOrPath string) (T, error)) func(string) error {
	return func(nameOrPath string) error {
		_, err := load(nameOrPath)
		if faults, ok := faultsOf(err); ok {
			return faults
		}
		return err
	}
}

// modelFacts looks into a model for what a scenario asks of it.
func modelFacts(nameOrPath string) (*scenario.ModelFacts, error) {
	m, err := params.LoadModel(nameOrPath)
	if faults, ok := faultsOf(err); ok {
		return nil, faults
	}
	if err != nil {
		return nil, err
	}
	absorb, inject := m.Reactive()
	return &scenario.ModelFacts{
		Strings: m.Parallel, Cells: m.Series, Single: m.Strings != nil, Runaway: m.Runaway != nil, Managed: m.BMS != nil,
		SoCMin: m.Limits.SoC.Min, SoCMax: m.Limits.SoC.Max, AbsorbKvar: absorb, InjectKvar: inject,
	}, nil
}
