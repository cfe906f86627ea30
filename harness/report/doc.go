// Package report turns one finished run into what people read and file: the
// verdict, report.json, a self-contained report.html with plots, junit.xml, the
// signals as CSV and Parquet, and a manifest with the checksum of everything.
//
// [Write] puts all of it into a folder, each file complete or not there at all,
// the manifest last. [Text] is the summary on a terminal, [Diff] says what
// changed between two runs, [Summarise] what many seeds of one scenario agree on.
//
// A verdict is decided in one place, [Decide], and leans to one side: what was
// not measured, or not judged, is inconclusive, never passed.
package report
