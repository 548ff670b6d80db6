package main

import (
	"context"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"archiver/internal/config"
	"archiver/internal/state"
)

// strict makes cobra's own commands fail as ours do: what is not known is wrong
// usage, and what can't be written is a failure.
func (c *cli) strict(root *cobra.Command) {
	root.InitDefaultCompletionCmd()
	root.InitDefaultHelpCmd()
	for _, cmd := range root.Commands() {
		switch cmd.Name() {
		case "completion":
			cmd.Args, cmd.RunE = cobra.ArbitraryArgs, choose
			for _, shell := range cmd.Commands() {
				write := shell.RunE
				shell.RunE = c.act(func(_ context.Context, args []string) error { return write(shell, args) })
			}
		case "help":
			show := cmd.Run
			cmd.Run = nil
			cmd.RunE = func(help *cobra.Command, args []string) error {
				about, rest, err := root.Find(args)
				switch {
				case err != nil:
					return err
				case len(rest) > 0 && about.HasSubCommands():
					return choose(about, rest)
				case len(rest) > 0:
					return cobra.NoArgs(about, rest)
				}
				show(help, args)
				return nil
			}
		}
	}
}

// completes lets shells complete a flag's values. That the flag isn't there
// would be our own mistake.
func (c *cli) completes(cmd *cobra.Command, flag string, values cobra.CompletionFunc) {
	if err := cmd.RegisterFlagCompletionFunc(flag, values); err != nil {
		panic(err)
	}
}

// completeTenants offers what the configuration names, if it can be read.
func (c *cli) completeTenants(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	cfg, err := config.Glance(c.configPath, c.env)
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return cfg.TenantNames(), cobra.ShellCompDirectiveNoFileComp
}

// completeStatuses offers statuses, after others that are given already.
func completeStatuses(_ *cobra.Command, _ []string, typed string) ([]string, cobra.ShellCompDirective) {
	given := typed[:strings.LastIndex(typed, ",")+1]
	var out []string
	for _, s := range state.Statuses() {
		if !slices.Contains(strings.Split(given, ","), string(s)) {
			out = append(out, given+string(s))
		}
	}
	return out, cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveNoSpace
}
