package network

import (
	"fmt"
	"hash/fnv"
	"net/netip"
)

// Allocator gives Services their cluster IPs. An address depends on the Service's name first and
// on what is taken second, so that a Service mostly keeps its address from one run to the next.
// It is not safe for concurrent use.
type Allocator struct {
	plan  Plan
	byKey map[string]netip.Addr
	taken map[netip.Addr]string
}

// NewAllocator gives an allocator over the plan's service addresses.
func NewAllocator(plan Plan) *Allocator {
	return &Allocator{plan: plan, byKey: map[string]netip.Addr{}, taken: map[netip.Addr]string{}}
}

// Reserve gives key an address that the caller chose. It fails when another key has it, or when
// it is not a service address of the plan.
func (a *Allocator) Reserve(key string, addr netip.Addr) error {
	if !a.plan.Services.Contains(addr) {
		return fmt.Errorf("address %s is outside of the mesh's services %s", addr, a.plan.Services)
	}
	if owner, ok := a.taken[addr]; ok && owner != key {
		return fmt.Errorf("address %s belongs to %s", addr, owner)
	}
	a.Release(key)
	a.byKey[key], a.taken[addr] = addr, key
	return nil
}

// Get gives the key's address, the same one until Release.
func (a *Allocator) Get(key string) (netip.Addr, error) {
	if addr, ok := a.byKey[key]; ok {
		return addr, nil
	}
	size := uint32(1) << (32 - a.plan.Services.Bits())
	usable := size - reservedServices - 1 // the last one would be a broadcast address
	h := fnv.New32a()
	h.Write([]byte(key))
	start := h.Sum32() % usable
	for i := range usable {
		addr := offset(a.plan.Services.Addr(), reservedServices+(start+i)%usable)
		if _, ok := a.taken[addr]; !ok {
			a.byKey[key], a.taken[addr] = addr, key
			return addr, nil
		}
	}
	return netip.Addr{}, fmt.Errorf("no address for %s is left in %s", key, a.plan.Services)
}

// Release gives the key's address back.
func (a *Allocator) Release(key string) {
	if addr, ok := a.byKey[key]; ok {
		delete(a.byKey, key)
		delete(a.taken, addr)
	}
}

func offset(base netip.Addr, n uint32) netip.Addr {
	b := base.As4()
	v := uint32(b[0])<<24 | uint32(b[1])<<16 | uint32(b[2])<<8 | uint32(b[3])
	v += n
	return netip.AddrFrom4([4]byte{byte(v >> 24), byte(v >> 16), byte(v >> 8), byte(v)})
}
