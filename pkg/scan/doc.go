// Package scan finds in texts what makes them dangerous or delicate: instructions that were injected, secrets, personal data, output that a browser or a
// shell would carry out. It is pure: no I/O, no clock, and safe for concurrent use with a Scratch for each goroutine.
package scan
