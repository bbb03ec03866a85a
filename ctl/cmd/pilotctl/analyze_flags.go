package main

import (
	"errors"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/pilothouse-mesh/pilothouse/ctl/terminal"
	"github.com/pilothouse-mesh/pilothouse/pilot/analyze"
)

// analyzeFlags are those of analyze alone, as Istio's tool has them.
type analyzeFlags struct {
	namespace, meshFile string
	all, list, kube     bool
	verbose, ignore     bool
	coloured            bool
	colours             map[string]string // by level
}

func (a *analyzeFlags) register(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVarP(&a.namespace, "namespace", "n", "", "namespace of objects that name none (default \"default\"); findings about objects of others are left out")
	flags.BoolVarP(&a.all, "all-namespaces", "A", false, "findings about objects of all namespaces, also with --namespace; without it this is so anyway")
	flags.StringVar(&a.meshFile, "meshConfigFile", "", "file with a mesh configuration, which takes the place of any other")
	flags.BoolVar(&a.ignore, "ignore-unknown", false, "say nothing of documents that do not parse, or of kinds that nothing here reads")
	flags.BoolVarP(&a.list, "list-analyzers", "L", false, "list the analyzers, and do nothing else")
	flags.BoolVarP(&a.verbose, "verbose", "v", false, "say on standard error what was analyzed")
	flags.BoolVar(&a.coloured, "color", false, "give levels their colours (by default on a terminal, unless $TERM is dumb)")
	flags.BoolVarP(&a.kube, "use-kube", "k", false, "analyze the running mesh, on this machine or in a cluster, and the files as if they were applied to it (default where no file is named)")
	completion(cmd, "meshConfigFile", manifests)
	a.colours = map[string]string{}
}

// arguments wants files where no mesh is to be asked.
func (a *analyzeFlags) arguments(cmd *cobra.Command, args []string) error {
	if len(args) == 0 && !a.list && cmd.Flags().Changed("use-kube") && !a.kube {
		return errors.New("name a directory or a file, or leave out --use-kube=false for the running mesh")
	}
	return nil
}

// live tells whether a running mesh is analyzed.
func (a *analyzeFlags) live(args []string) bool { return a.kube || len(args) == 0 }

// subject names what is analyzed.
func (a *analyzeFlags) subject(args []string) string {
	switch files := strings.Join(args, ", "); {
	case len(args) == 0:
		return "the running mesh"
	case a.kube:
		return "the running mesh with " + files
	default:
		return files
	}
}

// leavesOut tells whether the flags leave a finding out.
func (a *analyzeFlags) leavesOut(f analyze.Finding) bool {
	elsewhere := a.namespace != "" && !a.all && f.Object.Namespace != "" && f.Object.Namespace != a.namespace
	return elsewhere || a.ignore && f.Unknown
}

// colour chooses the colours of levels.
func (a *analyzeFlags) colour(cmd *cobra.Command) {
	out, isFile := cmd.OutOrStdout().(*os.File)
	usual := isFile && term.IsTerminal(int(out.Fd())) && os.Getenv("TERM") != "dumb"
	if asked := cmd.Flags().Changed("color"); asked && a.coloured || !asked && usual {
		a.colours = map[string]string{string(analyze.Error): "\x1b[31m", string(analyze.Warning): "\x1b[33m", string(analyze.Info): "\x1b[36m"}
	}
}

// level gives a finding's level as it is printed.
func (f finding) level() string {
	if f.colour == "" {
		return f.Level
	}
	return f.colour + f.Level + "\x1b[0m"
}

func listAnalyzers(w io.Writer) error {
	var rows [][]string
	for _, a := range analyze.Analyzers() {
		rows = append(rows, []string{a.Name, a.Finds})
	}
	return terminal.Table(w, 3, []string{"ANALYZER", "FINDS"}, rows)
}
