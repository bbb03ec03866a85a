// Package soak runs one control plane as it is, in this process, and has everything ask of it at once: clients that
// stay, come and go, refuse and stop reading, edits of many kinds, and all pages in loops. What it asserts is
// progress: each edit reaches each client that stays, each page answers, and in the end everything ends and nothing is
// left. Where progress stops it prints what all goroutines do.
//
// `make soak` runs it for longer and with more clients; the flags say how long, and with which seed.
package soak
