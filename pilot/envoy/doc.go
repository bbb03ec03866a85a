// Package envoy puts ir values into Envoy's v3 messages. It decides nothing and is
// deterministic: the same value gives the same message and, by Any, the same bytes.
package envoy
