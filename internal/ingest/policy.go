package ingest

import "fmt"

// Policy says how an identifying field stands in an entry.
type Policy uint8

const (
	// PolicySubject writes a token under the subject's key: equal values can be seen
	// as equal within one subject, and mean nothing once the key is destroyed.
	PolicySubject Policy = iota + 1
	// PolicySearch writes a token under the deployment's search key: equal values can
	// be seen as equal across subjects, for as long as the deployment lives.
	PolicySearch
	// PolicySealed leaves the field out of the entry; it is in the sealed content only.
	PolicySealed
	// PolicyClear writes the value as it came. It is not erasable.
	PolicyClear
)

// ParsePolicy reads a policy's name as it stands in a configuration.
func ParsePolicy(name string) (Policy, error) {
	switch name {
	case "subject":
		return PolicySubject, nil
	case "search":
		return PolicySearch, nil
	case "sealed":
		return PolicySealed, nil
	case "clear":
		return PolicyClear, nil
	}
	return 0, fmt.Errorf("field policy %q: must be subject, search, sealed or clear", name)
}

// FieldPolicies are the policies of the fields that have one.
type FieldPolicies struct {
	SessionID, ConversationID, SourceIP, ResourceID Policy
	// Attributes are PolicyClear or PolicySealed.
	Attributes Policy
}

// DefaultFieldPolicies keep every identifier of a person erasable, and let "who
// touched this record" be asked across subjects.
func DefaultFieldPolicies() FieldPolicies {
	return FieldPolicies{
		SessionID:      PolicySubject,
		ConversationID: PolicySubject,
		SourceIP:       PolicySubject,
		ResourceID:     PolicySearch,
		Attributes:     PolicyClear,
	}
}

func (p FieldPolicies) validate() error {
	for _, f := range []struct {
		name   string
		policy Policy
	}{{"session_id", p.SessionID}, {"conversation_id", p.ConversationID}, {"source_ip", p.SourceIP}, {"resource_id", p.ResourceID}} {
		if f.policy < PolicySubject || f.policy > PolicyClear {
			return fmt.Errorf("field policy of %s is not set", f.name)
		}
	}
	if p.Attributes != PolicyClear && p.Attributes != PolicySealed {
		return fmt.Errorf("field policy of attributes must be clear or sealed")
	}
	return nil
}
