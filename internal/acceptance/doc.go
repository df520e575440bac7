// Package acceptance holds the tests that run the programs as users do, with real
// engines, and kill, stop and starve them under load. What decides is always the
// same: the records in the topic, what producers were told, and `agentaudit verify`.
package acceptance
