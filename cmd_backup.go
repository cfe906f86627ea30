package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"filippo.io/age"
	"github.com/spf13/cobra"

	"yunchu/platform"
	"yunchu/platform/api"
	"yunchu/platform/bus/nats"
	"yunchu/platform/ops"
)

// adminVariable holds an administrator's token for a backup of a running plant.
const adminVariable = "YUNCHU_ADMIN_TOKEN"

func backupCommand() *cobra.Command {
	var data, to, recipient, from string
	c := &cobra.Command{
		Use:   "backup --to FILE",
		Short: "Back up a plant, running or stopped",
		Long: `Back up the data folder of a plant to one file, a tar archive compressed with zstd whose
every bit is under a checksum. Of a plant that runs it is fetched from its API with --url and
an administrator's token in YUNCHU_ADMIN_TOKEN; of one that is stopped --data is read.
--recipient encrypts it with age. What was acknowledged before is in it, but for readings that
a history in PostgreSQL has: those are backed up there, with pg_dump.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if to == "" {
				return fail(exitInput, errors.New("backup: --to FILE is missing"))
			}
			if recipient != "" {
				if _, err := age.ParseX25519Recipient(recipient); err != nil {
					return fail(exitInput, fmt.Errorf("--recipient: %w", err))
				}
			}
			store := ""
			write := func(w io.Writer) (err error) {
				store, err = backupFolder(c.Context(), w, data, recipient)
				return err
			}
			if from != "" {
				write = func(w io.Writer) (err error) {
					store, err = backupRunning(c.Context(), w, from, recipient)
					return err
				}
			}
			if err := toFile(to, write); err != nil {
				return fail(exitEnvironment, err)
			}
			fmt.Fprintf(c.OutOrStdout(), "backup written to %s\n", to)
			historyElsewhere(c.OutOrStdout(), store)
			return nil
		},
	}
	c.Flags().StringVar(&data, "data", "data", "data folder of a plant that is stopped")
	c.Flags().StringVar(&from, "url", "", "address of a plant that runs, such as http://127.0.0.1:8080")
	c.Flags().StringVar(&to, "to", "", "file to write")
	c.Flags().StringVar(&recipient, "recipient", "", "encrypt for this age recipient (age1…)")
	return c
}

// historyElsewhere says where the readings are that a backup does not have.
func historyElsewhere(w io.Writer, store string) {
	if store != "" {
		fmt.Fprintf(w, "the history is in %s and not in the backup: back up its schema there, and after a restore run yunchu history rewind\n", store)
	}
}

// toFile writes a file whole or not at all.
func toFile(path string, write func(io.Writer) error) error {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*.part")
	if err != nil {
		return err
	}
	err = write(f)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}

// backupFolder backs up a plant that is stopped, and says where its history is where that
// is not in its folder.
func backupFolder(ctx context.Context, w io.Writer, dir, recipient string) (store string, err error) {
	b, err := openStopped(dir)
	if errors.Is(err, nats.ErrLocked) {
		return "", fmt.Errorf("the plant runs, back it up with --url: %w", err)
	} else if err != nil {
		return "", err
	}
	to, err := recipients(recipient)
	if err == nil {
		store, err = storeOf(dir)
	}
	if err == nil {
		_, err = ops.Backup(ctx, w, ops.Source{Dir: dir, Bus: b, Program: platform.Version, Now: time.Now(), History: store}, to...)
	}
	return store, errors.Join(err, b.Close())
}

// storeOf is where the history of a data folder is; empty: in the folder.
func storeOf(dir string) (string, error) {
	k, err := platform.HistoryOf(dir)
	if k.Store == platform.HistoryFiles {
		return "", err
	}
	return k.Store, err
}

// openStopped opens the log of a plant that does not run.
func openStopped(dir string) (*nats.Bus, error) {
	if _, err := os.Stat(filepath.Join(dir, "bus")); err != nil {
		return nil, fmt.Errorf("%s is not a data folder: %w", dir, err)
	}
	log := slog.New(slog.DiscardHandler)
	if _, err := ops.Prepare(dir, platform.Version, time.Now(), log); err != nil {
		return nil, err
	}
	return nats.Open(nats.Options{Dir: filepath.Join(dir, "bus"), Log: log})
}

func recipients(text string) ([]age.Recipient, error) {
	if text == "" {
		return nil, nil
	}
	r, err := age.ParseX25519Recipient(text)
	return []age.Recipient{r}, err
}

func backupRunning(ctx context.Context, w io.Writer, from, recipient string) (store string, err error) {
	token := os.Getenv(adminVariable)
	if token == "" {
		return "", fmt.Errorf("%s is not set: a backup of a running plant needs an administrator's token", adminVariable)
	}
	u := strings.TrimSuffix(from, "/") + "/api/v1/backup?recipient=" + url.QueryEscape(recipient)
	q, err := http.NewRequestWithContext(ctx, http.MethodGet, u, nil)
	if err != nil {
		return "", err
	}
	q.Header.Set("Authorization", "Bearer "+token)
	a, err := http.DefaultClient.Do(q)
	if err != nil {
		return "", err
	}
	defer a.Body.Close()
	if a.StatusCode != http.StatusOK {
		b, _ := io.ReadAll(io.LimitReader(a.Body, 1<<12))
		return "", fmt.Errorf("the plant answers %s: %s", a.Status, b)
	}
	_, err = io.Copy(w, a.Body)
	return a.Header.Get(api.HeaderHistory), err
}

func restoreCommand() *cobra.Command {
	var to, identity string
	var only bool
	c := &cobra.Command{
		Use:   "restore FILE --to DIR",
		Short: "Verify a backup and make a data folder of it",
		Long: `Verify a backup, every bit of it, and make a new data folder of it, whole or not at all. A
folder that is there must be empty. --verify-only writes nothing.`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			f, err := os.Open(args[0])
			if err != nil {
				return fail(exitInput, err)
			}
			defer f.Close()
			var ids []age.Identity
			if identity != "" {
				text, err := os.Open(identity)
				if err != nil {
					return fail(exitInput, err)
				}
				defer text.Close()
				if ids, err = age.ParseIdentities(text); err != nil {
					return fail(exitInput, fmt.Errorf("%s: %w", identity, err))
				}
			}
			var m ops.Manifest
			switch {
			case only:
				m, err = ops.Verify(f, ids...)
			case to == "":
				return fail(exitInput, errors.New("restore: --to DIR is missing"))
			default:
				m, err = ops.Restore(c.Context(), f, to, ids...)
			}
			switch {
			case errors.Is(err, ops.ErrBackup):
				return fail(exitInput, fmt.Errorf("%s: %w", args[0], err))
			case err != nil:
				return fail(exitEnvironment, err)
			}
			fmt.Fprintf(c.OutOrStdout(), "verified: %d files, data folder format %d, made by %s at %s\n",
				len(m.Files), m.Format, m.Program, m.Created.Format(time.RFC3339))
			if !only {
				fmt.Fprintf(c.OutOrStdout(), "restored to %s\n", to)
			}
			historyElsewhere(c.OutOrStdout(), m.History)
			return nil
		},
	}
	c.Flags().StringVar(&to, "to", "", "data folder to make")
	c.Flags().StringVar(&identity, "identity", "", "age identity file of an encrypted backup")
	c.Flags().BoolVar(&only, "verify-only", false, "verify and write nothing")
	return c
}
