package edge

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"yunchu/platform/durable"
)

func newLog() string { return rand.Text() }

// load reads a position; where there is none it is the beginning.
func load(path string) (p position, err error) {
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return position{Log: newLog()}, nil
	}
	if err == nil {
		err = json.Unmarshal(b, &p)
	}
	if err == nil && p.Log == "" {
		err = fmt.Errorf("%s names no log", path)
	}
	return p, err
}

// write replaces the file.
func (p *position) write(path string) error {
	b, err := json.Marshal(p)
	if err != nil {
		return err
	}
	return durable.WriteFile(path, append(b, '\n'), 0o600)
}
