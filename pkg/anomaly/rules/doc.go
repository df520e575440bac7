// Package rules is what an operator declares to be wrong: rules in a YAML file, with conditions in CEL (https://cel.dev) on single events and on what an
// entity has done in a window of time. docs/detection.md describes the format.
//
// A Set is immutable and may be shared. Each goroutine has a Matcher of its own, which decides what it can by itself (comparisons with constants, lists)
// and asks CEL only for the rest. Conditions have a bounded cost, so no rule can hold up the events. A Reloader replaces the set when its file changes.
package rules
