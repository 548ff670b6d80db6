package main

import (
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"archiver/internal/config"
	"archiver/internal/state"
)

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
