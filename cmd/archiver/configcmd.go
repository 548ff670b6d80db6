package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"archiver/internal/config"
)

func (c *cli) configCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "config",
		Short: "Check or print the configuration",
		Args:  cobra.ArbitraryArgs,
		RunE:  choose,
	}
	cmd.AddCommand(&cobra.Command{
		Use:   "check",
		Short: "Check the configuration and list every mistake in it",
		Args:  cobra.NoArgs,
		RunE:  c.act(c.configCheck),
	}, &cobra.Command{
		Use:   "show",
		Short: "Print the configuration in effect, with defaults and without secrets",
		Args:  cobra.NoArgs,
		RunE:  c.act(c.configShow),
	})
	return cmd
}

func (c *cli) configCheck(context.Context, []string) error {
	cfg, err := c.load()
	if err != nil {
		return err
	}
	for _, w := range cfg.Warnings {
		c.say("warning: %s", w)
	}
	_, err = fmt.Fprintf(c.stdout, "configuration %s is fine\n%s\n", cfg.Path, summarise(cfg))
	return err
}

func (c *cli) configShow(context.Context, []string) error {
	cfg, err := c.load()
	if err != nil {
		return err
	}
	text, err := cfg.Show()
	if err != nil {
		return err
	}
	_, err = c.stdout.Write(text)
	return err
}

// summarise says in one line what a configuration is about.
func summarise(cfg *config.Config) string {
	var buckets, deletes []string
	for _, name := range cfg.TenantNames() {
		t := cfg.Tenants[name]
		if !slices.Contains(buckets, t.Storage.Bucket) {
			buckets = append(buckets, t.Storage.Bucket)
		}
		if t.Delete.Enabled {
			deletes = append(deletes, name)
		}
	}
	deletion := "off"
	if len(deletes) > 0 {
		deletion = "on for " + strings.Join(deletes, ", ")
	}
	return fmt.Sprintf("tenants: %s; buckets: %s; state: %s; deletion at the vendor: %s",
		strings.Join(cfg.TenantNames(), ", "), strings.Join(buckets, ", "), cfg.State.Path, deletion)
}
