package main

import (
	"context"
	"errors"
	"os"
	"path"
	"path/filepath"
	"time"

	"yunchu/harness/accept"
	"yunchu/harness/keep"
	"yunchu/harness/links"
	"yunchu/harness/report"
	"yunchu/hil"
	"yunchu/hil/record"
)

// answersWithin is how long a device may take to give its nameplate.
const answersWithin = 5 * time.Second

// record begins the recording of a device, with the nameplate it gives; a device that is
// not there has none, and the suite says that it is not there.
func (f *acceptFlags) record(ctx context.Context, tapes *keep.Tapes, spec *hil.Device) (*record.Writer, error) {
	if f.out == "" {
		return nil, nil
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
	return tapes.Begin(spec, info)
}

// auditFolder is where the audits of the devices are in the folder of the report.
const auditFolder = "audit"

// audits are the audits that the suite has kept, as files of the report.
func (f *acceptFlags) audits(r *accept.Result) (list []report.Kept, err error) {
	if f.out == "" {
		return nil, nil
	}
	for _, d := range r.Devices {
		at := path.Join(auditFolder, string(d.Info.ID))
		files, err := keep.Folder(at, filepath.Join(f.out, filepath.FromSlash(at)))
		if errors.Is(err, os.ErrNotExist) { // a twin
			continue
		} else if err != nil {
			return nil, err
		}
		list = append(list, files...)
	}
	return list, nil
}
