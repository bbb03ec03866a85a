// Package nds is the name table that `pilot` sends over ADS to `agent/dns`, type URL
// type.googleapis.com/istio.networking.nds.v1.NameTable. `make proto` regenerates it.
package nds
