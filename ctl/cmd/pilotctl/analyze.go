package main

import (
	"cmp"
	"fmt"
	"io"
	"os"
	"path"
	"slices"
	"strings"
	"unicode"

	"github.com/spf13/cobra"

	"github.com/pilothouse-mesh/pilothouse/ctl/proxyconfig"
	"github.com/pilothouse-mesh/pilothouse/ctl/usage"
	"github.com/pilothouse-mesh/pilothouse/pilot/analyze"
)

// analysis is one call of analyze.
type analysis struct {
	output, failure, threshold string
	suppress                   []string
	recursive                  bool
	analyzeFlags
	at       place // the mesh that runs
	revision string
	// layered has an object of a later file take the place of one of an earlier file, as those of a later directory
	// do, in place of being told as defined twice.
	layered bool
}

func newAnalyze(o *options) *cobra.Command {
	a := &analysis{at: place{options: o}}
	cmd := &cobra.Command{
		Use: "analyze [DIR|FILE...]", Short: "Tell what is wrong with configuration, before it runs or in the running mesh",
		Long: `Tell what is wrong with the objects in directories and files, without a mesh; without any, with
those of the running mesh. With --use-kube files are taken as if they were applied to that mesh: an
object of the files takes the place of the one that is there, and all others stay.

All that "pilotctl problems" would say of any proxy that the files' workloads and gateways
could have is found by the control plane's own code. Objects are then compared with each
other: references that lead nowhere, rules that are never used, selectors that select nobody.
Codes are Istio's (https://istio.io/latest/docs/reference/config/analysis); what Istio has no
code for has "-". Of a running mesh the control plane tells its objects, its proxies and its problems, also
those of "pilotctl problems"; pods are the workloads, of whose ports only those with names are known.

` + injectionHelp + `

Exit codes: 0 nothing is as bad as --failure-threshold, 79 something is, 1 a file cannot be
read or the mesh does not answer, 2 wrong usage.`,
		Example: "  pilotctl analyze samples/bookinfo\n  pilotctl analyze\n  pilotctl analyze --use-kube rule.yaml\n  pilotctl analyze -R manifests --failure-threshold warning\n  kustomize build | pilotctl analyze - -o json",
		Args:    usage.Args(a.arguments),
		RunE:    func(cmd *cobra.Command, args []string) error { return a.run(cmd, args) },

		ValidArgsFunction: manifests,
	}
	cmd.Flags().StringVarP(&a.output, "output", "o", "log", "log, json or yaml")
	cmd.Flags().StringVar(&a.failure, "failure-threshold", "error", "level from which findings make the exit code 79: info, warning or error")
	cmd.Flags().StringVar(&a.threshold, "output-threshold", "info", "level from which findings are printed: info, warning or error")
	cmd.Flags().StringArrayVarP(&a.suppress, "suppress", "S", nil, `leave out findings of a code at an object, as "IST0102=Namespace shop" or "IST0101=VirtualService shop/*"`)
	cmd.Flags().BoolVarP(&a.recursive, "recursive", "R", false, "read directories within directories")
	completion(cmd, "output", words("log", "json", "yaml"))
	completion(cmd, "failure-threshold", words("info", "warning", "error"))
	completion(cmd, "output-threshold", words("info", "warning", "error"))
	a.analyzeFlags.register(cmd)
	a.at.register(cmd)
	cmd.Flags().StringVar(&a.revision, "revision", "", "revision of the control plane, where the mesh has several: its objects and its proxies")
	return cmd
}

func (a *analysis) run(cmd *cobra.Command, args []string) error {
	if a.list {
		return listAnalyzers(cmd.OutOrStdout())
	}
	failure, ok := analyze.ParseLevel(a.failure)
	if !ok {
		return usageError(fmt.Errorf("--failure-threshold %q: use info, warning or error", a.failure))
	}
	threshold, ok := analyze.ParseLevel(a.threshold)
	if !ok {
		return usageError(fmt.Errorf("--output-threshold %q: use info, warning or error", a.threshold))
	}
	if err := outputIs(a.output, "log", "json", "yaml"); err != nil {
		return err
	}
	if err := a.checkSuppress(); err != nil {
		return usageError(err)
	}
	found, err := a.findings(cmd, args)
	if err != nil && !isUnread(err) {
		return err
	}
	if a.verbose {
		fmt.Fprintf(cmd.ErrOrStderr(), "analyzed %s by the checks of the control plane and %d analyzers\n", a.subject(args), len(analyze.Analyzers()))
	}
	a.colour(cmd)
	shown := slices.DeleteFunc(slices.Clone(found), func(f analyze.Finding) bool { return !f.Level.AtLeast(threshold) })
	if failed := a.print(cmd.OutOrStdout(), shown); failed != nil || err != nil {
		return cmp.Or(failed, err)
	}
	if slices.ContainsFunc(found, func(f analyze.Finding) bool { return f.Level.AtLeast(failure) }) {
		return &exitError{exitFindings, fmt.Errorf("analyze found what is at least %s in %s", strings.ToLower(string(failure)), a.subject(args))}
	}
	return nil
}

// findings gives those that are not suppressed; with an unreadError those of the files that can be read.
func (a *analysis) findings(cmd *cobra.Command, args []string) ([]analyze.Finding, error) {
	var files []analyze.File
	var unread error
	if len(args) > 0 {
		if files, unread = a.files(cmd.InOrStdin(), args); unread != nil && !isUnread(unread) {
			return nil, unread
		}
	}
	if a.meshFile != "" {
		data, err := readFile(a.meshFile, maxText)
		if err != nil {
			return nil, err
		}
		files = append(files, analyze.File{Name: a.meshFile, Data: data, Mesh: true, Dir: len(files)}) // before that of any directory
	}
	find := analyze.Files
	if a.live(args) {
		find = a.ofRunning
	}
	found, err := find(cmd.Context(), files)
	found = slices.DeleteFunc(found, func(f analyze.Finding) bool { return a.suppressed(f) || a.leavesOut(f) })
	return found, cmp.Or(err, unread)
}

// files gives those of all directories and files, and of stdin for "-" where it is not nil. With an unreadError come
// those that can be read.
func (a *analysis) files(stdin io.Reader, args []string) ([]analyze.File, error) {
	var files []analyze.File
	var unread []error
	dir, inFiles := -1, false
	for _, arg := range args {
		// Files that are named one after the other stand side by side, as in one directory.
		if info, err := os.Stat(arg); a.layered || err == nil && info.IsDir() || !inFiles {
			dir++
			inFiles = err != nil || !info.IsDir()
		}
		if arg == "-" && stdin != nil {
			data, err := readText(stdin, arg)
			if err != nil {
				return nil, err
			}
			files = append(files, analyze.File{Name: "-", Data: data, Dir: dir, Namespace: a.namespace})
			continue
		}
		more, bad, err := a.read(arg, dir)
		if err != nil {
			return nil, err
		}
		for i := range more {
			more[i].Namespace = a.namespace
		}
		files, unread = append(files, more...), append(unread, bad...)
	}
	if len(unread) > 0 {
		return files, &unreadError{unread}
	}
	if !slices.ContainsFunc(files, func(f analyze.File) bool { return hasObject(f.Data) }) {
		return nil, fmt.Errorf("there is no object in %s", strings.Join(args, ", "))
	}
	return files, nil
}

// hasObject tells whether a file has more than comments and separators.
func hasObject(data []byte) bool {
	for line := range strings.Lines(string(data)) {
		if line = strings.TrimSpace(line); line != "" && line[0] != '#' && line != "---" {
			return true
		}
	}
	return false
}

// checkSuppress looks at the form of --suppress, CODE=KIND NAME.
func (a *analysis) checkSuppress() error {
	for _, s := range a.suppress {
		_, object, found := strings.Cut(s, "=")
		if _, name, ok := strings.Cut(object, " "); !found || !ok || name == "" {
			return fmt.Errorf("--suppress %q: use CODE=KIND NAMESPACE/NAME", s)
		}
		if _, err := path.Match(object, ""); err != nil {
			return fmt.Errorf("--suppress %q: %w", s, err)
		}
	}
	return nil
}

// suppressed tells whether --suppress names a finding, by NAMESPACE/NAME or as Istio's tool writes it,
// NAME.NAMESPACE.
func (a *analysis) suppressed(f analyze.Finding) bool {
	for _, s := range a.suppress {
		code, object, _ := strings.Cut(s, "=")
		kind, pattern, _ := strings.Cut(object, " ")
		if code != f.Code || kind != string(f.Object.Kind) {
			continue
		}
		for _, name := range []string{strings.TrimPrefix(f.Object.Namespace+"/"+f.Object.Name, "/"), f.Object.Name + "." + f.Object.Namespace} {
			if ok, _ := path.Match(pattern, name); ok { // the pattern was looked at
				return true
			}
		}
	}
	return false
}

// finding is one in JSON and YAML, under the names of Istio's tool, with the field beside them.
type finding struct {
	Code             string `json:"code"`
	DocumentationURL string `json:"documentationUrl,omitempty"`
	Level            string `json:"level"`
	Message          string `json:"message"`
	Origin           string `json:"origin,omitempty"`
	Field            string `json:"field,omitempty"`
	Reference        string `json:"reference,omitempty"` // FILE:LINE
	colour           string // of the level, as what a terminal takes before it; empty for none
}

func (a *analysis) print(w io.Writer, found []analyze.Finding) error {
	out := listed(found)
	if a.output == "log" {
		for i := range out {
			out[i].colour = a.colours[out[i].Level]
		}
		return printLog(w, out)
	}
	return printDocument(w, proxyconfig.Format(a.output), out)
}

// listed gives findings as they are printed.
func listed(found []analyze.Finding) []finding {
	out := []finding{}
	for _, f := range found {
		one := finding{Code: f.Code, Level: string(f.Level), Message: f.Message, Field: f.Field, Origin: origin(f)}
		if f.Code != "" {
			one.DocumentationURL = "https://istio.io/latest/docs/reference/config/analysis/" + strings.ToLower(f.Code) + "/"
		} else {
			one.Code = "-"
		}
		if f.Origin.File != "" {
			one.Reference = fmt.Sprintf("%s:%d", f.Origin.File, f.Origin.Line)
		}
		out = append(out, one)
	}
	return out
}

// origin names an object as Istio's tool does.
func origin(f analyze.Finding) string {
	if f.Object.Name == "" {
		return ""
	}
	return string(f.Object.Kind) + " " + strings.TrimPrefix(f.Object.Namespace+"/"+f.Object.Name, "/")
}

// printLog prints a line for each finding: LEVEL [CODE] (KIND NAMESPACE/NAME FILE:LINE) FIELD: MESSAGE.
// Names and texts are the files', so what moves a terminal's cursor is replaced.
func printLog(w io.Writer, found []finding) error {
	if len(found) == 0 {
		_, err := fmt.Fprintln(w, "no findings")
		return err
	}
	for _, f := range found {
		text := f.Message
		if f.Field != "" {
			text = f.Field + ": " + text
		}
		where := strings.TrimSpace(f.Origin + " " + f.Reference)
		if _, err := fmt.Fprintf(w, "%s [%s] (%s) %s\n", f.level(), f.Code, printable(where), printable(text)); err != nil {
			return err
		}
	}
	return nil
}

// printable replaces what is no printable letter.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '\uFFFD'
		}
		return r
	}, s)
}
