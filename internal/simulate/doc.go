// Package simulate makes the traffic of several tenants' agents for weeks, with incidents whose place and time are known, to measure what detection finds,
// what it misses and whom it wakes for nothing. Everything follows from a seed.
package simulate
