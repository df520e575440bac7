package anomaly

import (
	"fmt"
	"time"
)

// WindowFeature is one thing that is counted of an entity in a window, for which rules may ask. Numbers may change between versions, names may not.
type WindowFeature uint8

// The features. A call is an event of the types tool.call and llm.call and what stands below them (tool.call.x).
const (
	WindowEvents       WindowFeature = iota // all events
	WindowCalls                             // calls of tools and models
	WindowErrors                            // outcome failure
	WindowDenials                           // outcome denied or blocked
	WindowLogins                            // type auth.login
	WindowFailedLogins                      // of these, outcome failure, denied or blocked
	WindowRateLimits                        // type rate_limit.exceeded
	WindowWrites                            // events that changed something, by their type and the words of their action and tool
	WindowSends                             // events that sent something out, told likewise
	WindowGrants                            // type permission.change, outcome success
	WindowRows                              // sum of rows
	WindowInputTokens                       // sum of usage.input_tokens
	WindowOutputTokens                      // sum of usage.output_tokens
	WindowTokens                            // both together
	WindowCostUSD                           // sum of usage.cost_usd, in US dollars

	WindowTools    // different tools
	WindowNetworks // different source networks
	WindowAgents   // different agents

	WindowNewTools      // of these, how many the entity is not known to have used before
	WindowNewNetworks   //
	WindowNewAgents     //
	WindowKnownTools    // how many the entity was known to use before
	WindowKnownNetworks //
	WindowKnownAgents   //

	// NumWindowFeatures is how many there are.
	NumWindowFeatures
)

var windowFeatureNames = [NumWindowFeatures]string{
	WindowEvents: "events", WindowCalls: "calls", WindowErrors: "errors", WindowDenials: "denials", WindowLogins: "logins", WindowFailedLogins: "failed_logins", WindowRateLimits: "rate_limits",
	WindowWrites: "writes", WindowSends: "sends", WindowGrants: "grants", WindowRows: "rows", WindowInputTokens: "input_tokens", WindowOutputTokens: "output_tokens", WindowTokens: "tokens", WindowCostUSD: "cost_usd",
	WindowTools: "tools", WindowNetworks: "networks", WindowAgents: "agents",
	WindowNewTools: "new_tools", WindowNewNetworks: "new_networks", WindowNewAgents: "new_agents",
	WindowKnownTools: "known_tools", WindowKnownNetworks: "known_networks", WindowKnownAgents: "known_agents",
}

// String returns the name as conditions have it.
func (f WindowFeature) String() string {
	if f >= NumWindowFeatures {
		return fmt.Sprintf("feature %d", uint8(f))
	}
	return windowFeatureNames[f]
}

// HasBaseline tells whether conditions may ask for the feature's baseline: sums have one, numbers of different things do not.
func (f WindowFeature) HasBaseline() bool { return f <= WindowCostUSD }

// CountedOver tells whether the feature is counted over windows of a length. Sums are over all; different things over a minute and a day, since sets of them
// for an hour would cost memory for each entity; what is new over a minute, since after it it is known.
func (f WindowFeature) CountedOver(d time.Duration) bool {
	switch {
	case f >= WindowNewTools:
		return d == time.Minute
	case f >= WindowTools:
		return d != time.Hour
	}
	return true
}
