package rules

import (
	"fmt"
	"time"
)

// Feature is one thing that is counted of an entity in a window. Engines index arrays by it; numbers may change between versions, names may not.
type Feature uint8

// The features. A call is an event of the types tool.call and llm.call and what stands below them (tool.call.x).
const (
	Events       Feature = iota // all events
	Calls                       // calls of tools and models
	Errors                      // outcome failure
	Denials                     // outcome denied or blocked
	Logins                      // type auth.login
	FailedLogins                // of these, outcome failure, denied or blocked
	RateLimits                  // type rate_limit.exceeded
	Writes                      // events that changed something, by their type and the words of their action and tool
	Sends                       // events that sent something out, told likewise
	Grants                      // type permission.change, outcome success
	Rows                        // sum of rows
	InputTokens                 // sum of usage.input_tokens
	OutputTokens                // sum of usage.output_tokens
	Tokens                      // both together
	CostUSD                     // sum of usage.cost_usd, in US dollars

	Tools    // different tools
	Networks // different source networks
	Agents   // different agents

	NewTools      // of these, how many the entity is not known to have used before
	NewNetworks   //
	NewAgents     //
	KnownTools    // how many the entity was known to use before
	KnownNetworks //
	KnownAgents   //

	// NumFeatures is how many there are.
	NumFeatures
)

var featureNames = [NumFeatures]string{
	Events: "events", Calls: "calls", Errors: "errors", Denials: "denials", Logins: "logins", FailedLogins: "failed_logins", RateLimits: "rate_limits",
	Writes: "writes", Sends: "sends", Grants: "grants", Rows: "rows", InputTokens: "input_tokens", OutputTokens: "output_tokens", Tokens: "tokens", CostUSD: "cost_usd",
	Tools: "tools", Networks: "networks", Agents: "agents",
	NewTools: "new_tools", NewNetworks: "new_networks", NewAgents: "new_agents",
	KnownTools: "known_tools", KnownNetworks: "known_networks", KnownAgents: "known_agents",
}

// String returns the name as conditions have it.
func (f Feature) String() string {
	if f >= NumFeatures {
		return fmt.Sprintf("feature %d", uint8(f))
	}
	return featureNames[f]
}

// HasBaseline tells whether conditions may ask for the feature's baseline: sums have one, numbers of different things do not.
func (f Feature) HasBaseline() bool { return f <= CostUSD }

// CountedOver tells whether the feature is counted over windows of a length. Sums are over all; different things over a minute and a day, since sets of them
// for an hour would cost memory for each entity; what is new over a minute, since after it it is known.
func (f Feature) CountedOver(d time.Duration) bool {
	switch {
	case f >= NewTools:
		return d == time.Minute
	case f >= Tools:
		return d != time.Hour
	}
	return true
}
