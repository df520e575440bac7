// Package anomaly notices what is unusual for a user, an agent, a tenant or a producer, and turns it into incidents: pure, without I/O, driven by the
// time of the events.
//
// What it promises: a stream gives the same final incidents however its records were shuffled within Lateness, repeated, or read again after a restart.
// Two things bring this about. Events are gathered by minute and entity in sums, sets and maxima, for which order and repetition do not matter, and
// what is learned is learned only when a minute is closed: when every partition's clock has passed its end by Lateness. And all clocks are those of the
// records, never that of this machine. What is said before a minute is closed is provisional.
//
// The baselines of series follow NAB-style streaming detection with block maxima (extreme value theory) for their tails; see the files of each part.
package anomaly
