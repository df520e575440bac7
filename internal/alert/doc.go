// Package alert has the records that stand in the log about alerts: incidents, as the detector says them, and orders, by which people say what they think of them.
// All are signed system records, which name nobody but by pseudonym.
package alert
