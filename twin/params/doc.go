// Package params holds the parameter sets of the twin as data, each number with
// its source, and the schema they are read by.
//
// Two kinds of file exist. A cell file describes one cell (capacity, open-circuit
// voltage, hysteresis, entropy, resistance, heat capacity); its keys are those of
// lfp280_ref.yaml. A model file (kind: Model) describes one storage unit: so many
// of those cells in series and parallel behind a power converter, with the way its
// heat leaves and the limits it keeps.
//
// Files are decoded strictly: an unknown or repeated key is an error, and every
// error names file, line and column. Validate finds all faults of a file at once.
//
// The package is pure data: it knows nothing of the equations that use it, and is
// the one part of the twin that a build without simulation keeps.
package params
