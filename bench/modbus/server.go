package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"

	"yunchu/hil/modbus/emul"
)

const registers = 1000

// serve is the program as a server, for so many clients at a time.
func serve(ctx context.Context, clients int) error {
	m := &emul.Memory{Holding: make([]uint16, registers)}
	for i := range m.Holding {
		m.Holding[i] = uint16(i)
	}
	s, err := emul.Listen(emul.Options{Address: "tcp://127.0.0.1:0", MaxConns: clients, Units: map[byte]emul.Served{1: {Bank: m}}})
	if err != nil {
		return err
	}
	_, port, _ := strings.Cut(s.Addr(), "127.0.0.1:")
	fmt.Println("port", port)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin) // it ends with whoever started us
		cancel()
	}()
	return s.Serve(ctx)
}

// server is a server in a process of its own.
type server struct {
	port    int
	process *exec.Cmd
	input   io.Closer
}

// start runs a program that says where it serves, in one line: port N.
func start(ctx context.Context, program string, args ...string) (server, error) {
	c := exec.CommandContext(ctx, program, args...)
	c.Stderr = os.Stderr
	in, err := c.StdinPipe()
	if err != nil {
		return server{}, err
	}
	out, err := c.StdoutPipe()
	if err != nil {
		return server{}, err
	}
	if err := c.Start(); err != nil {
		return server{}, err
	}
	s := server{process: c, input: in}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err == nil {
		s.port, err = strconv.Atoi(strings.TrimPrefix(strings.TrimSpace(line), "port "))
	}
	if err != nil {
		s.stop()
		return server{}, fmt.Errorf("%s: it says %q: %w", program, line, err)
	}
	return s, nil
}

// startOurs runs this program as a server.
func startOurs(ctx context.Context, clients int) (server, error) {
	self, err := os.Executable()
	if err != nil {
		return server{}, err
	}
	return start(ctx, self, "-serve", strconv.Itoa(clients))
}

func (s server) stop() {
	_ = errors.Join(s.input.Close(), s.process.Process.Kill()) // it may have ended
	_ = s.process.Wait()                                       // killed
}

func (s server) address() string { return "tcp://127.0.0.1:" + strconv.Itoa(s.port) }
