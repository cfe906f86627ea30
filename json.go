package main

import (
	"bufio"
	"encoding/json"
	"io"
)

// printJSON prints a result for machines.
func printJSON(w io.Writer, x any) error {
	text, err := json.Marshal(x)
	if err == nil {
		err = indent(w, text)
	}
	if err != nil {
		return fail(exitEnvironment, err)
	}
	return nil
}

// indent writes JSON as Marshal makes it, in lines as json.Indent does with two blanks for each level. That checks each byte once more,
// which takes as long as all the rest of a large result.
func indent(to io.Writer, text []byte) error {
	w := bufio.NewWriterSize(to, 1<<16)
	const step = "  "
	line := []byte("\n")
	for i := 0; i < len(text); i++ {
		switch c := text[i]; c {
		case '"':
			end := i + 1
			for text[end] != '"' {
				if text[end] == '\\' {
					end++
				}
				end++
			}
			_, _ = w.Write(text[i : end+1]) // Flush says what went wrong
			i = end
		case '{', '[':
			_ = w.WriteByte(c)
			if next := text[i+1]; next == '}' || next == ']' {
				_ = w.WriteByte(next)
				i++
				continue
			}
			line = append(line, step...)
			_, _ = w.Write(line)
		case '}', ']':
			line = line[:len(line)-len(step)]
			_, _ = w.Write(line)
			_ = w.WriteByte(c)
		case ',':
			_ = w.WriteByte(c)
			_, _ = w.Write(line)
		case ':':
			_, _ = w.WriteString(": ")
		default:
			end := i + 1
			for end < len(text) && text[end] != ',' && text[end] != ']' && text[end] != '}' {
				end++
			}
			_, _ = w.Write(text[i:end])
			i = end - 1
		}
	}
	_ = w.WriteByte('\n')
	return w.Flush()
}
