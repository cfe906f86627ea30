package main

import (
	"bufio"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"yunchu/platform/auth"
)

// jwtDir is the folder of the keys of access tokens.
func jwtDir(data string) string { return filepath.Join(data, "keys", "jwt") }

func hashPasswordCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "hash-password",
		Short: "Make the hash of a password for access.users of a configuration",
		Long: `Read a password, one line of at least 12 characters, from the standard input and print its
argon2id hash, as password_hash of a user in a configuration.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			line, err := bufio.NewReader(io.LimitReader(c.InOrStdin(), 4096)).ReadString('\n')
			if err != nil && !errors.Is(err, io.EOF) {
				return fail(exitInput, fmt.Errorf("read the password: %w", err))
			}
			hash, err := auth.Hash(c.Context(), rand.Reader, strings.TrimRight(line, "\r\n"))
			if err != nil {
				return fail(exitInput, err)
			}
			fmt.Fprintln(c.OutOrStdout(), hash)
			return nil
		},
	}
}

func keysCommand() *cobra.Command {
	c := &cobra.Command{Use: "keys", Short: "Change the keys of access tokens"}
	var (
		data string
		drop bool
	)
	rotate := &cobra.Command{
		Use:   "rotate",
		Short: "Make a new key that signs access tokens",
		Long: `Make a new key that signs access tokens; a plant that runs takes it with SIGHUP. The keys
before it are believed for another day, or with --drop no more: then everybody needs a new
access token at once. Without this command a key is changed after 30 days.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			private()
			if _, err := os.Stat(data); err != nil {
				return fail(exitInput, fmt.Errorf("--data: %w", err))
			}
			now := time.Now()
			keys, err := auth.OpenKeys(jwtDir(data), rand.Reader, now)
			if err != nil {
				return fail(exitEnvironment, err)
			}
			if err := keys.Rotate(now, drop); err != nil {
				return fail(exitEnvironment, err)
			}
			for _, k := range keys.Public() {
				fmt.Fprintln(c.OutOrStdout(), k.ID)
			}
			return nil
		},
	}
	rotate.Flags().StringVar(&data, "data", "data", "the data folder of the plant")
	rotate.Flags().BoolVar(&drop, "drop", false, "forget the keys before it at once")
	c.AddCommand(rotate)
	return c
}
