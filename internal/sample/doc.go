// Package sample makes plausible traffic of AI agents: tenants with users who have habits over the
// day and the week, agents with coherent sessions, tokens, cost, errors and denials; and an incident,
// in which a prompt hidden in a tool's output turns a support agent into a spammer.
//
// The same Config gives the same events, byte for byte (on one processor architecture: they depend
// on the last bits of floating point). All names, companies and addresses are invented. It serves "up --sample", tests and benchmarks.
package sample
