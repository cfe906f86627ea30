package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"yunchu/harness/accept"
	"yunchu/harness/links"
	"yunchu/harness/report"
	"yunchu/hil"
	"yunchu/hil/record"
)

// tapes are the recordings of what crosses the links of devices under test: raw data of
// the report, and what `device: replay` answers from. The zero value records nothing.
type tapes struct {
	out   string // folder of the report
	dir   string // where they are until the report is written
	files []accept.LinkFile
	tapes []*record.Writer
}

// begin begins the recording of a device, with the nameplate it gives; a device that is not
// there has none, and the suite says that it is not there.
func (t *tapes) begin(ctx context.Context, spec *hil.Device) (_ *record.Writer, err error) {
	if t.out == "" {
		return nil, nil
	}
	if t.dir == "" {
		if t.dir, err = os.MkdirTemp(t.out, ".links-*"); err != nil {
			return nil, err
		}
	}
	d, err := hil.Open(*spec)
	if err != nil {
		return nil, err
	}
	info := spec.Info()
	if _, said, err := links.Await(ctx, d, answersWithin); err == nil {
		links.Fill(&info, said)
	}
	if err := d.Close(); err != nil {
		return nil, err
	}
	name := fmt.Sprintf("links-%s.rec.gz", spec.ID)
	path := filepath.Join(t.dir, name)
	tape, err := spec.Record(path, time.Now(), info)
	if err != nil {
		return nil, err
	}
	spec.Tap = tape.Tap
	t.tapes = append(t.tapes, tape)
	t.files = append(t.files, accept.LinkFile{File: report.File{Name: name}, Path: path})
	return tape, nil
}

// answersWithin is how long a device may take to give its nameplate.
const answersWithin = 5 * time.Second

// close ends the recordings, and says what they hold.
func (t *tapes) close() (files []accept.LinkFile, err error) {
	for i, tape := range t.tapes {
		err = errors.Join(err, tape.Close())
		f := t.files[i]
		sum, hashed := report.HashFile(f.Name, f.Path)
		if hashed != nil {
			err = errors.Join(err, hashed)
			continue
		}
		f.File = sum
		files = append(files, f)
	}
	return files, err
}

// remove removes what is not part of a report by now.
func (t *tapes) remove() {
	if t.dir != "" {
		_ = os.RemoveAll(t.dir)
	}
}
