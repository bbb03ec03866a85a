package bench

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
)

// latest is the report's file.
const latest = "latest.json"

// Open reads the report that a directory holds; none gives an empty one.
func Open(dir string) (*Report, error) {
	r := &Report{Machine: ThisMachine()}
	b, err := os.ReadFile(filepath.Join(dir, latest))
	if errors.Is(err, fs.ErrNotExist) {
		return r, nil
	}
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(b, r); err != nil {
		return nil, fmt.Errorf("%s: %w", filepath.Join(dir, latest), err)
	}
	r.Goals = goals(r.Series)
	r.Machine = ThisMachine()
	return r, nil
}

// Save writes the report, the table of goals and the plots into a directory.
func (r *Report) Save(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	b, err := r.JSON()
	if err != nil {
		return err
	}
	files := r.plots()
	files[latest], files["goals.md"] = b, r.markdown()
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// markdown is the goals as a page that says what was measured on what and when.
func (r *Report) markdown() []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "# Goals and figures\n\nWritten by `make bench`, on %s.\n\n", r.Machine)
	for _, s := range r.Series {
		fmt.Fprintf(&b, "- %s (%s, %s)\n", s.about(), s.Date.Format("2006-01-02 15:04"), s.Version)
	}
	fmt.Fprint(&b, "\n| goal | series | what | measured | wanted | |\n|---|---|---|---|---|---|\n")
	for _, g := range slices.Concat(r.Goals, r.Beside) {
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s |\n", g.ID, g.Series, g.What, g.measured(), g.wanted(), g.Verdict())
	}
	for _, e := range r.Failed() {
		fmt.Fprintf(&b, "\nFailed: %s\n", e)
	}
	return b.Bytes()
}
