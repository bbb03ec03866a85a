package store

import (
	"fmt"
	"hash/fnv"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"istio.io/api/label"
	networking "istio.io/api/networking/v1alpha3"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// allocates tells whether the hosts of a ServiceEntry get addresses: Istio gives none where there are
// some, where the proxy goes where the application wanted to, and where the label says so.
func allocates(o *model.Object) bool {
	entry := o.Spec.(*networking.ServiceEntry)
	return entry.GetResolution() != networking.ServiceEntry_NONE && len(entry.GetAddresses()) == 0 &&
		!strings.EqualFold(o.Labels[label.NetworkingEnableAutoallocateIp.Name], "false")
}

// statusAddresses gives by host the addresses that a ServiceEntry's status has.
func statusAddresses(o *model.Object) map[string][]string {
	status, _ := o.Status.(*networking.ServiceEntryStatus)
	var out map[string][]string
	for _, a := range status.GetAddresses() {
		ip, err := netip.ParseAddr(a.GetValue())
		if err != nil || ip.Zone() != "" || ip.IsUnspecified() {
			continue
		}
		if out == nil {
			out = map[string][]string{}
		}
		host := model.CanonicalHost(a.GetHost())
		out[host] = append(out[host], ip.Unmap().String())
	}
	return out
}

// numSlots is how many addresses there are: 240.240.0.0/16 without those that end in 0 or 255, which
// some systems take for a network and a broadcast.
const numSlots = 256 * 254

// slotAddresses gives the addresses of a slot, within the ranges of Istio: 240.240.0.0/16 and
// 2001:2::/48.
func slotAddresses(slot uint32) []string {
	high, low := byte(slot/254), byte(slot%254+1)
	v6 := netip.MustParseAddr("2001:2::").As16()
	v6[12], v6[13], v6[14], v6[15] = 0xf0, 0xf0, high, low
	return []string{netip.AddrFrom4([4]byte{240, 240, high, low}).String(), netip.AddrFrom16(v6).String()}
}

// slotOf finds the slot of an address.
func slotOf(text string) (uint32, bool) {
	ip, err := netip.ParseAddr(text)
	if err != nil || !netip.MustParsePrefix("240.240.0.0/16").Contains(ip) {
		return 0, false
	}
	b := ip.As4()
	if b[3] == 0 || b[3] == 255 {
		return 0, false
	}
	return uint32(b[2])*254 + uint32(b[3]) - 1, true
}

// slotFor gives the n-th choice of a host.
func slotFor(host string, n int) uint32 {
	h := fnv.New64a()
	h.Write([]byte(host))
	if n > 0 {
		h.Write([]byte(" " + strconv.Itoa(n)))
	}
	sum := h.Sum64()
	return uint32((sum ^ sum>>32) % numSlots)
}

// allocator gives addresses to hosts that have none. Which one a host gets follows from the set of hosts alone,
// so that it is the same after a restart and in every replica. A host gets its first choice, a hash of its name,
// unless the status of an object, or a host that comes before it by name, has that address. Those that lose take
// their next choices, one after the other by name, so that no other host moves for them.
type allocator struct {
	claims map[string]keyList     // host → the objects that want an address for it
	hosts  map[model.Key][]string // object → those hosts
	fixed  map[model.Key][]uint32 // object → slots that its status has
	first  map[uint32][]string    // first choice → its hosts, sorted
	taken  map[uint32]int         // slot → how many statuses have it
	crowd  map[uint32]struct{}    // first choices that not every host can have
	slots  map[string]uint32      // of each host, as settled
	losers []string               // hosts that have not their first choice, as settled
	stale  map[string]struct{}    // hosts that came or went, or of which the first choice is to be looked at again
}

func newAllocator() *allocator {
	return &allocator{
		claims: map[string]keyList{}, hosts: map[model.Key][]string{}, fixed: map[model.Key][]uint32{}, first: map[uint32][]string{},
		taken: map[uint32]int{}, crowd: map[uint32]struct{}{}, slots: map[string]uint32{}, stale: map[string]struct{}{},
	}
}

// claim notes what an object wants addresses for; nil for an object that is gone.
func (a *allocator) claim(key model.Key, o *model.Object) {
	var hosts []string
	var fixed []uint32
	if o != nil && allocates(o) {
		status := statusAddresses(o)
		for _, host := range entryHosts(o.Spec.(*networking.ServiceEntry)) {
			switch own := status[host]; {
			case strings.HasPrefix(host, "*"):
			case len(own) == 0:
				hosts = append(hosts, host)
			default:
				for _, ip := range own {
					if slot, ok := slotOf(ip); ok {
						fixed = append(fixed, slot)
					}
				}
			}
		}
	}
	if !slices.Equal(a.fixed[key], fixed) {
		a.reserve(a.fixed[key], -1)
		a.reserve(fixed, 1)
		set(a.fixed, key, fixed)
	}
	before, now := newStringSet(a.hosts[key]).has, newStringSet(hosts).has
	for _, host := range a.hosts[key] {
		if _, stays := now[host]; !stays {
			a.leave(host, key)
		}
	}
	for _, host := range hosts {
		if _, had := before[host]; !had {
			a.enter(host, key)
		}
	}
	set(a.hosts, key, hosts)
}

func (a *allocator) reserve(slots []uint32, n int) {
	for _, slot := range slots {
		if a.taken[slot] += n; a.taken[slot] == 0 {
			delete(a.taken, slot)
		}
		a.look(slot)
	}
	if len(slots) > 0 { // those that lost before may have to give way
		for _, host := range a.losers {
			a.stale[host] = struct{}{}
		}
	}
}

// look marks the hosts of a first choice.
func (a *allocator) look(slot uint32) {
	hosts := a.first[slot]
	if len(hosts) > 1 || len(hosts) > 0 && a.taken[slot] > 0 {
		a.crowd[slot] = struct{}{}
	} else {
		delete(a.crowd, slot)
	}
	for _, host := range hosts {
		a.stale[host] = struct{}{}
	}
}

func (a *allocator) enter(host string, key model.Key) {
	insert(a.claims, host, key)
	if len(a.claims[host]) > 1 {
		return
	}
	slot := slotFor(host, 0)
	at, _ := slices.BinarySearch(a.first[slot], host)
	a.first[slot] = slices.Insert(a.first[slot], at, host)
	a.look(slot)
}

func (a *allocator) leave(host string, key model.Key) {
	remove(a.claims, host, key)
	if len(a.claims[host]) > 0 {
		return
	}
	slot := slotFor(host, 0)
	hosts := a.first[slot]
	if at, found := slices.BinarySearch(hosts, host); found {
		hosts = slices.Delete(hosts, at, at+1)
	}
	set(a.first, slot, hosts)
	a.stale[host] = struct{}{}
	a.look(slot)
}

// settle gives addresses to the hosts that came and takes them from those that went. It gives the
// objects with a host whose address is another one, and tells which addresses moved.
func (a *allocator) settle() (changed keyList, moved []string) {
	if len(a.stale) == 0 {
		return nil, nil
	}
	next := a.lost()
	for _, host := range a.losers { // who loses now and did not is stale already
		a.stale[host] = struct{}{}
	}
	for _, host := range slices.Sorted(maps.Keys(a.stale)) {
		former, had := a.slots[host]
		if len(a.claims[host]) == 0 {
			delete(a.slots, host)
			continue
		}
		slot, lost := next[host]
		if !lost {
			slot = slotFor(host, 0)
		}
		if had && former == slot {
			continue
		}
		a.slots[host] = slot
		changed = append(changed, a.claims[host]...)
		if had && slot != noSlot && former != noSlot {
			moved = append(moved, fmt.Sprintf("%s has %s in the place of %s", host, slotAddresses(slot)[0], slotAddresses(former)[0]))
		}
	}
	a.losers = slices.Sorted(maps.Keys(next))
	clear(a.stale)
	return changed, moved
}

// lost places the hosts that cannot have their first choice.
func (a *allocator) lost() map[string]uint32 {
	var losers []string
	for slot := range a.crowd {
		if a.taken[slot] > 0 {
			losers = append(losers, a.first[slot]...)
		} else {
			losers = append(losers, a.first[slot][1:]...)
		}
	}
	slices.Sort(losers)
	out, used := make(map[string]uint32, len(losers)), make(map[uint32]struct{}, len(losers))
	for _, host := range losers {
		for n := 1; n <= maxChoices; n++ {
			slot := slotFor(host, n)
			if _, twice := used[slot]; twice || a.taken[slot] > 0 || len(a.first[slot]) > 0 {
				continue
			}
			out[host], used[slot] = slot, struct{}{}
			break
		}
		if _, found := out[host]; !found {
			out[host] = noSlot
		}
	}
	return out
}

const (
	// maxChoices bounds the search; as many fail only where the range is nearly full.
	maxChoices = 256
	// noSlot is that of a host for which there is no address left.
	noSlot = ^uint32(0)
)

// addresses gives the addresses of a host of an object.
func (a *allocator) addresses(o *model.Object) func(host string) []string {
	status := statusAddresses(o)
	return func(host string) []string {
		if own := status[host]; len(own) > 0 {
			return own
		}
		if slot, ok := a.slots[host]; ok && slot != noSlot {
			return slotAddresses(slot)
		}
		return nil
	}
}
