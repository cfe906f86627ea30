//go:build !nosim

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"yunchu/harness/backend"
	"yunchu/harness/scenario"
	"yunchu/harness/simworld"
)

// openRig serves rigs; see nosim.go for the build without.
var openRig = simworld.OpenRig

func rigCommand() *cobra.Command {
	var faults []string
	c := &cobra.Command{
		Use:   "rig FILE",
		Short: "Serve twins as real Modbus, SunSpec, CAN and MQTT devices for somebody else's controller",
		Long: `Serve the twins of a rig file on real sockets and pseudo-terminals until Ctrl-C. What
is served where is printed; "ready" is printed when all of it answers. A device behind an
MQTT broker goes there by itself, and "broker away" on stderr says why it is not taken.`,
		Example: `  yunchu rig rig.yaml
  yunchu rig rig.yaml --fault sign-flip            with every device broken from the start
  yunchu rig rig.yaml --fault rig-1=soc-frozen     with one
  yunchu rig rig.yaml --fault reset@20s            from then on
  yunchu rig rig.yaml --fault sign-flip@50%        from when a device has half of its rated power`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			r, err := scenario.LoadRig(args[0], scenarioOptions())
			if err != nil {
				return fail(exitInput, err)
			}
			return serveRig(c.Context(), r, faults, c.OutOrStdout(), c.ErrOrStderr())
		},
	}
	c.Flags().StringArrayVar(&faults, "fault", nil, "break it: [ID=]KIND[@WHEN], WHEN a time after ready (20s) or a power that it comes to (50%); from the start when left out (repeatable)")
	return c
}

func serveRig(ctx context.Context, r *scenario.Rig, faults []string, stdout, stderr io.Writer) error {
	served, err := openRig(r, logger(stderr, slog.LevelWarn))
	if err != nil {
		return fail(exitEnvironment, err)
	}
	rig := served.(*simworld.Rig)
	if len(rig.Lines()) == 0 {
		return fail(exitInput, fmt.Errorf("%s serves nothing: give a device serve", r.Path))
	}
	var later []rigFault
	for _, text := range faults {
		f, err := parseRigFault(text)
		if err == nil && f.after == 0 && f.share == 0 {
			err = breakRig(ctx, rig, r, &f)
		} else if err == nil {
			err = f.known(ctx, rig, r)
			later = append(later, f)
		}
		if err != nil {
			return fail(exitInput, err)
		}
	}
	for _, l := range rig.Lines() {
		fmt.Fprintln(stdout, l)
	}
	fmt.Fprintln(stdout, "ready")
	var over sync.WaitGroup
	defer over.Wait()
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	for i := range later {
		over.Go(func() {
			if later[i].wait(ctx, rig, r) {
				if err := breakRig(ctx, rig, r, &later[i]); err != nil {
					fmt.Fprintln(stderr, "yunchu:", err)
				}
			}
		})
	}
	if err := rig.Serve(ctx); err != nil {
		return fail(exitEnvironment, err)
	}
	return nil
}

// rigFault is a fault that a rig is served with.
type rigFault struct {
	text, kind string
	id         string        // of a device; empty: all of them
	after      time.Duration // begins so long after all is served
	share      float64       // or when a device has had this part of its rated power; both 0: from the start
}

func parseRigFault(text string) (rigFault, error) {
	what, when, timed := strings.Cut(text, "@")
	f := rigFault{text: text, kind: what}
	if id, kind, one := strings.Cut(what, "="); one {
		f.id, f.kind = id, kind
	}
	if !timed {
		return f, nil
	}
	var err error
	if percent, is := strings.CutSuffix(when, "%"); is {
		f.share, err = strconv.ParseFloat(percent, 64)
		f.share /= 100
	} else {
		f.after, err = time.ParseDuration(when)
	}
	if err != nil || f.after < 0 || !(f.share >= 0 && f.share <= 1) || f.after == 0 && f.share == 0 {
		return f, fmt.Errorf("--fault %s: %q is no time to begin: write KIND@20s, or KIND@50%% for a part of rated power", text, when)
	}
	return f, nil
}

// devices are those of a rig that a fault is meant for.
func (f *rigFault) devices(r *scenario.Rig) (list []string, err error) {
	for i := range r.Devices {
		if d := &r.Devices[i]; d.Serve != nil && (f.id == "" || d.ID == f.id) {
			list = append(list, d.ID)
		}
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("--fault %s: the rig serves no such device", f.text)
	}
	return list, nil
}

// known says before anything is served that a fault which is to begin later cannot.
func (f *rigFault) known(ctx context.Context, rig *simworld.Rig, r *scenario.Rig) error {
	if _, err := f.devices(r); err != nil {
		return err
	}
	known, err := rig.Faults(ctx)
	if err == nil && !slices.Contains(known, f.kind) {
		err = fmt.Errorf("--fault %s: known are %s", f.text, strings.Join(known, ", "))
	}
	return err
}

// watchEvery is how often the power is looked at that a fault waits for.
const watchEvery = 20 * time.Millisecond

// wait lasts until the fault is to begin; false when ctx has ended before.
func (f *rigFault) wait(ctx context.Context, rig *simworld.Rig, r *scenario.Rig) bool {
	if f.share == 0 {
		t := time.NewTimer(f.after)
		defer t.Stop()
		select {
		case <-ctx.Done():
			return false
		case <-t.C:
			return true
		}
	}
	ids, _ := f.devices(r) // was looked at before
	t := time.NewTicker(watchEvery)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return false
		case <-t.C:
		}
		for _, id := range ids {
			if had, err := rig.Share(id); err == nil && had >= f.share {
				return true
			}
		}
	}
}

// breakRig injects a fault into the devices that it is meant for.
func breakRig(ctx context.Context, rig *simworld.Rig, r *scenario.Rig, f *rigFault) error {
	ids, err := f.devices(r)
	if err != nil {
		return err
	}
	for _, id := range ids {
		if _, err := rig.Inject(ctx, id, backend.Fault{Kind: f.kind, ToC: 60}); err != nil {
			if known, kerr := rig.Faults(ctx); kerr == nil && errors.Is(err, backend.ErrUnknown) {
				return fmt.Errorf("--fault %s: known are %s", f.text, strings.Join(known, ", "))
			}
			return fmt.Errorf("--fault %s: %w", f.text, err)
		}
	}
	return nil
}
