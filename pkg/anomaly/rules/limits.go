package rules

import "time"

// Limits of a rules file. What exceeds one is a mistake that is reported like others.
const (
	// MaxFileBytes bounds the file itself; a rule has some 400 bytes.
	MaxFileBytes = 1 << 20
	// MaxRules bounds the rules of a set, the built-in ones included: every event of a type is compared with each that names the type.
	MaxRules = 1000
	// maxNumbers bounds the rules that were ever known to a process that reloads its file; their numbers are not given again.
	maxNumbers = 10 * MaxRules

	maxLists         = 100
	maxListEntries   = 100_000
	maxListFileBytes = 8 << 20
	// maxGlobs bounds those entries of a list which are tried one by one.
	maxGlobs      = 500
	maxEntryBytes = 256

	maxIDBytes        = 64
	maxTextBytes      = 200 // of title and expected: both stand in a message
	maxConditionBytes = 4096
	maxTypes          = 32 // of `on` of a rule

	maxSuppress     = 30 * 24 * time.Hour
	defaultSuppress = time.Hour

	// maxMistakes are reported; a file with more is no rules file.
	maxMistakes = 50
)

// Limits of a condition, in CEL's units of cost: about one for each step and for each ten bytes of a text that is looked through, some 30 to 100 ns each.
const (
	// freeCost is what a condition may cost at worst without being watched while it runs: watching takes longer than most conditions.
	freeCost = 5_000
	// cutCost is where a condition that could cost more is cut off, and counts as not fulfilled: about a millisecond.
	cutCost = 20_000
	// refusedCost is the worst case from which on a condition is refused at once: somebody has nested loops.
	refusedCost = 50_000_000
	// maxNesting is how deep exists, all and exists_one may stand within each other.
	maxNesting = 2
	// maxNodes and maxDepth bound the parsed condition, maxRegexSize the compiled form of each regular expression.
	maxNodes     = 500
	maxDepth     = 50
	maxRegexSize = 1000
)
