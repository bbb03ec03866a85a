package main

import (
	"regexp"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/pilothouse-mesh/pilothouse/ctl/terminal"
	"github.com/pilothouse-mesh/pilothouse/deploy/profiles"
	"github.com/pilothouse-mesh/pilothouse/localnode"
)

// completePods completes the first argument with the pods of the running mesh.
func (o *options) completePods(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	m, err := localnode.Open(o.stateRoot, o.name)
	if err != nil || len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	pods, err := m.Pods()
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var names []string
	for _, p := range pods {
		names = append(names, terminal.Text(p.Name+"."+p.Namespace))
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

// completeContainers completes -c with the containers of the pod that was named before it.
func (o *options) completeContainers(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	m, err := localnode.Open(o.stateRoot, o.name)
	if err != nil || len(args) == 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	pod, err := m.Pod(args[0])
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var names []string
	for _, c := range slices.Concat(pod.Spec.InitContainers, pod.Spec.Containers) {
		names = append(names, terminal.Text(c.Name))
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

// completion gives a command completion by complete for one of its flags, which must exist.
func completion(cmd *cobra.Command, flag string, complete cobra.CompletionFunc) {
	if err := cmd.RegisterFlagCompletionFunc(flag, complete); err != nil {
		panic(err) // no such flag: every test of the command line meets it
	}
}

// listedWords is how the help of a flag ends, or begins, that takes one of a few words.
var listedWords = regexp.MustCompile(`(?:^|: )([a-z]+(?:, [a-z]+)*) or ([a-z]+)$`)

// completeWords gives completion to the flags of all commands that take one of a few words, which their help lists, and
// to those that name a profile. A flag that has completion of its own keeps it.
func completeWords(cmd *cobra.Command) {
	cmd.LocalNonPersistentFlags().VisitAll(func(f *pflag.Flag) {
		if _, has := cmd.GetFlagCompletionFunc(f.Name); has {
			return
		}
		found := listedWords.FindStringSubmatch(f.Usage)
		switch {
		case f.Name == "profile":
			completion(cmd, f.Name, words(profiles.Names()...))
		case found != nil:
			completion(cmd, f.Name, words(append(strings.Split(found[1], ", "), found[2])...))
		case slices.Contains([]string{"int", "int64", "uint16", "uint64", "duration"}, f.Value.Type()):
			completion(cmd, f.Name, words()) // no file is a number
		}
	})
	for _, sub := range cmd.Commands() {
		completeWords(sub)
	}
}

// methods are those of HTTP that are usual.
func methods() []string { return []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"} }

// manifests completes files of objects, and directories.
func manifests(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	return []string{"yaml", "yml", "json"}, cobra.ShellCompDirectiveFilterFileExt
}

// words completes a flag that takes one of a few words.
func words(all ...string) cobra.CompletionFunc {
	return func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return all, cobra.ShellCompDirectiveNoFileComp
	}
}
