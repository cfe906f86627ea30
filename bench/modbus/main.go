// Modbus measures hil/modbus on this machine, over loopback and with the server always in
// another process: how many reads of 60 registers a second one connection carries, ours
// beside libmodbus in all pairings, and what polling 1,000 devices once a second costs.
//
//	go run ./bench/modbus
//
// The pairings take turns, so what else the machine does falls on all of them. Figures are
// medians over the turns; ratios are medians of ratios within a turn. Without gcc and
// libmodbus (apt-get install gcc pkg-config libmodbus-dev) only our own pairing is measured.
package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
)

func main() {
	rounds := flag.Int("rounds", 5, "turns of every pairing")
	reads := flag.Int("reads", 100_000, "reads of a turn")
	devices := flag.Int("devices", 1000, "devices that are polled")
	seconds := flag.Int("seconds", 20, "how long they are polled")
	serve := flag.Int("serve", 0, "be the server, of so many devices (or of registers for -1)")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	err := func() error {
		if *serve != 0 {
			return serveUntil(ctx, *serve)
		}
		if err := race(ctx, *rounds, *reads); err != nil {
			return err
		}
		return poll(ctx, *devices, *seconds)
	}()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// server is a process that serves, and where.
type server struct {
	cmd   *exec.Cmd
	addrs []string
}

// start starts a program that prints where it serves, in one line.
func start(program string, args ...string) (*server, error) {
	s := &server{cmd: exec.Command(program, args...)}
	s.cmd.Stderr = os.Stderr
	in, err := s.cmd.StdinPipe() // its end is the server's
	if err != nil {
		return nil, err
	}
	_ = in // closed with this process, or by stop
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%s does not serve: %w", program, err), s.stop())
	}
	s.addrs = strings.Fields(line)
	return s, nil
}

func (s *server) stop() error {
	if err := s.cmd.Process.Kill(); err != nil {
		return err
	}
	_ = s.cmd.Wait() // it was killed
	return nil
}

// ourselves starts this program as a server.
func ourselves(devices int) (*server, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	return start(self, "-serve", strconv.Itoa(devices))
}

// libmodbus compiles the peer that the tests use, too.
func libmodbus(dir string) (string, error) {
	flags, err := exec.Command("pkg-config", "--cflags", "--libs", "libmodbus").Output()
	if err != nil {
		return "", fmt.Errorf("no libmodbus: %w", err)
	}
	bin := filepath.Join(dir, "peer")
	args := append([]string{"-O2", "-o", bin, filepath.Join("hil", "modbus", "testdata", "peer.c")}, strings.Fields(string(flags))...)
	if out, err := exec.Command("gcc", args...).CombinedOutput(); err != nil {
		return "", fmt.Errorf("gcc: %w\n%s", err, out)
	}
	return bin, nil
}
