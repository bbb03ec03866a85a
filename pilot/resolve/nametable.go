package resolve

import "github.com/pilothouse-mesh/pilothouse/pilot/ir"

// NameTable gives what the DNS proxy beside a proxy of the class answers; nil for classes that
// do not capture DNS.
func NameTable(r Reader, c *Class) *ir.NameTable {
	return nil
}
