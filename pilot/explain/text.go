package explain

import (
	"fmt"
	"io"
	"strings"
)

// Print writes the steps in order, and the outcome at the end.
func (a *Answer) Print(w io.Writer) error {
	var b strings.Builder
	for i, s := range a.Steps {
		fmt.Fprintf(&b, "%2d. %s", i+1, s.Stage)
		if s.Name != "" {
			fmt.Fprintf(&b, " %s", s.Name)
		}
		fmt.Fprintf(&b, ": %s%s\n", s.Text, s.from())
		for _, d := range s.Details {
			fmt.Fprintf(&b, "      %s\n", d)
		}
	}
	fmt.Fprintf(&b, "=> %s\n", &a.Outcome)
	_, err := io.WriteString(w, b.String())
	return err
}

// from names the object of a step, and where it stands, in parentheses.
func (s *Step) from() string {
	if s.Object == "" {
		return ""
	}
	return " (" + s.origin() + ")"
}

// origin names the object of a step, and where it stands.
func (s *Step) origin() string {
	parts := strings.Split(s.Object, "/") // "", apis, GROUP, VERSION, namespaces, NS, KIND, NAME
	out := s.Object
	if len(parts) == 8 {
		out = fmt.Sprintf("%s %s/%s", parts[6], parts[5], parts[7])
	}
	switch at := s.Place.String(); {
	case s.Field != "":
		out += " " + at
	case at != "":
		out += ", " + at
	}
	return out
}

// said names the answer.
func (a *Abort) said() string {
	if a.GRPC != nil {
		return fmt.Sprintf("gRPC status %d", *a.GRPC)
	}
	return fmt.Sprintf("status %d", a.Status)
}

// String says in one line what the client gets.
func (o *Outcome) String() string {
	var out string
	switch {
	case o.Closed:
		out = "the connection ends"
	case o.Status != 0:
		out = fmt.Sprintf("the client gets %d", o.Status)
	case o.Forward == nil:
		out = "no server is known to get it"
	case o.Refused:
		out = "no server gets what goes to " + names(o.Forward.Clusters)
	default:
		out = "goes to " + names(o.Forward.Clusters)
	}
	if o.Flags != "" {
		out += " (" + o.Flags + ")"
	}
	if o.Reason != "" {
		out += ": " + o.Reason
	}
	if o.Partly != "" {
		out += "; " + o.Partly
	}
	if o.Delay != nil {
		out += fmt.Sprintf("; %g %% wait %s first", o.Delay.Percent, o.Delay.Duration)
	}
	if o.Abort != nil && o.Abort.Percent < 100 {
		out += fmt.Sprintf("; %g %% are aborted with %s", o.Abort.Percent, o.Abort.said())
	}
	return out
}
