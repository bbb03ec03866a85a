package ir

// NameTable is what a node agent's DNS proxy answers, sorted by host.
type NameTable struct{ Names []Name }

// Name is one host name with its addresses.
type Name struct {
	Host      string
	IPs       []string
	ShortName string // the name without namespace and domain
	Namespace string
	External  bool // it is of a ServiceEntry, and has no short forms
}
