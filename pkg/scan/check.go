package scan

// check is one kind of injection.
type check struct {
	rules     string // the rules' prefix
	name      string // of the finding
	dangerous bool
}

// checks are all kinds of injection that rules look for, with how dangerous each is by itself. Their names are sealed into entries: add, never rename.
var checks = [...]check{
	{"override", "injection.instruction_override", true},
	{"authority", "injection.authority_claim", false},
	{"boundary", "injection.boundary_manipulation", true},
	{"obfuscation", "injection.obfuscation", false},
	{"financial", "injection.financial_manipulation", false},
	{"selfharm", "injection.self_harm", true},
	{"extract", "injection.prompt_extraction", true},
	{"role", "injection.role_manipulation", false},
	{"jailbreak", "injection.jailbreak", true},
	{"code", "injection.code", true},
	{"template", "injection.template", false},
	{"hidden", "injection.hidden_unicode", false},
	{"repetition", "injection.repetition", false},
	{"data", "injection.data_extraction", false},
	{"output", "injection.output_manipulation", false},
	{"indirect", "injection.embedded_instruction", true},
}

// thresholds are the scores above which a text counts as an injection, by where it comes from, and above which it is worse.
type thresholds struct {
	medium   [3]float32 // by Source
	high     float32
	critical float32
}

// threatOf is the one place that says how dangerous an injection is. Two views are combined, and the milder one holds:
//
//   - the checks that found something: one that is moderate is medium, one that is dangerous high, two that are dangerous high, three checks or more critical;
//   - the score, which says how sure it is: above the source's threshold medium, above high and critical those.
//
// At or below the threshold the text is low, whatever was found. In a tool's output, where nobody should give orders, a dangerous check whose score is high is critical.
func (t *thresholds) threatOf(score float32, from Source, found uint32) Threat {
	if score <= t.medium[min(int(from), len(t.medium)-1)] {
		return Low
	}
	moderate, dangerous := 0, 0
	for i := range checks {
		if found&(1<<i) != 0 {
			if checks[i].dangerous {
				dangerous++
			} else {
				moderate++
			}
		}
	}
	byChecks := Medium
	switch {
	case moderate+dangerous >= 3:
		byChecks = Critical
	case dangerous > 0:
		byChecks = High
	}
	byScore := Medium
	switch {
	case score > t.critical, score > t.high && from == FromTool && dangerous > 0:
		byScore = Critical
	case score > t.high:
		byScore = High
	}
	if from == FromTool && byScore == Critical && dangerous > 0 {
		return Critical
	}
	return min(byChecks, byScore)
}
