// Command yunchu is a virtual-power-plant runtime for battery storage. Scenario
// files drive it against simulated fleets and score it; the same dispatch and
// sync code runs in production against real devices.
package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"sync"
	"syscall"

	"github.com/spf13/cobra"

	"yunchu/platform"
)

// Exit codes. Scripts rely on them.
const (
	exitPassed      = 0
	exitFailed      = 1 // failed or inconclusive
	exitInput       = 2 // a file or a flag is wrong
	exitEnvironment = 3 // a rig, a disk or a port is not there
	exitInterrupted = 130
)

// exit is an error with the code it ends the program with. A nil err has said
// all there is to say already.
type exit struct {
	code int
	err  error
}

func (e *exit) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit %d", e.code)
	}
	return e.err.Error()
}

func (e *exit) Unwrap() error { return e.err }

// fail ends the program with a code and a message.
func fail(code int, err error) error { return &exit{code, err} }

// failed is the end of work on files by err: they are wrong, unless ctx ended it.
func failed(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return fail(exitInterrupted, errors.New("interrupted"))
	}
	return fail(exitInput, err)
}

// silently ends the program with a code and no further word.
func silently(code int) error {
	if code == exitPassed {
		return nil
	}
	return &exit{code, nil}
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	release := makeRoom()
	code := execute(ctx, os.Args[1:], os.Stdout, os.Stderr)
	release()
	os.Exit(code)
}

// execute runs one command line and returns its exit code. Tests call it too.
func execute(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	root := &cobra.Command{
		Use:   "yunchu",
		Short: "A virtual-power-plant runtime for battery storage, with digital twins and a test bed in the same binary",
		Example: `  yunchu run scenarios/quickstart.yaml --out out    simulate an hour of a fleet, score it, leave a report
  yunchu demo                                       a live simulated fleet with its portal
  yunchu serve                                      the production runtime`,
		Long: `Yunchu runs battery storage as a virtual power plant. Scenario files drive it against
simulated fleets and score it; production runs the same code with the simulation
switched off.

Exit codes: 0 passed; 1 failed or inconclusive; 2 bad input; 3 a rig, a disk or a
port is not there; 130 interrupted.`,
		Version:       platform.Version,
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	root.CompletionOptions.HiddenDefaultCmd = true
	root.AddCommand(
		runCommand(), loadCommand(), acceptCommand(), validateCommand(), schemaCommand(), serveCommand(), backupCommand(), restoreCommand(), exportCommand(), historyCommand(), demoCommand(), rigCommand(), traceCommand(), fitCommand(), trackCommand(), wearCommand(), marketCommand(), forecastCommand(), settleCommand(), reportCommand(), auditCommand(), hashPasswordCommand(), keysCommand(),
	)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitPassed
	}
	var e *exit
	if !errors.As(err, &e) { // cobra's own: a wrong flag or command
		fmt.Fprintf(stderr, "yunchu: %v\nSee 'yunchu --help'.\n", err)
		return exitInput
	}
	switch faults, ok := faultsOf(e.err); {
	case ok:
		faults.Print(stderr)
	case e.err != nil:
		fmt.Fprintf(stderr, "yunchu: %v\n", e.err)
	}
	return e.code
}

// logger writes what people should know to stderr.
func logger(w io.Writer, level slog.Level) *slog.Logger {
	return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: level}))
}

// isTerminal reports whether w is a terminal, where a line may be rewritten and
// coloured.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok || os.Getenv("NO_COLOR") != "" {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// binaryHash is the SHA-256 of the running program.
var binaryHash = sync.OnceValue(func() string {
	path, err := os.Executable()
	if err != nil {
		return "unknown"
	}
	f, err := os.Open(path)
	if err != nil {
		return "unknown"
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "unknown"
	}
	return hex.EncodeToString(h.Sum(nil))
})
