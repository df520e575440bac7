package apikey

import "slices"

// Role is what a key is for.
type Role string

// Roles. None includes another: what each may do stands in the table below.
const (
	Viewer  Role = "viewer"  // dashboards
	Analyst Role = "analyst" // looks at events under pseudonyms, passes people's requests on
	Auditor Role = "auditor" // checks: proofs, requests and receipts
	DPO     Role = "dpo"     // answers people: names, contents, requests
	Admin   Role = "admin"
)

// Roles returns all roles.
func Roles() []Role { return []Role{Viewer, Analyst, Auditor, DPO, Admin} }

// Valid says whether it is a role.
func (r Role) Valid() bool { return slices.Contains(Roles(), r) }

// Right is something that a role may or may not do.
type Right int

// Rights.
const (
	Discover       Right = iota // learn what requests are taken
	ReadEvents                  // events under pseudonyms
	RevealPeople                // names and contents, and search by name
	ReadProofs                  // proofs, with the entries that they are of
	SubmitRequests              // pass on what a person asks
	ReadRequest                 // how far one request is, by its id
	ListRequests                // all requests, receipts
	DecideRequests              // verify and cancel, and fetch what is handed out
	CheckConsents               // whether a person agrees to a purpose
	SeeRestricted               // names and contents of people whose data is restricted (GDPR Art. 18)
)

// rights are what a role may do. What is no role may do nothing.
func (r Role) rights() []Right {
	switch r {
	case Viewer:
		return []Right{Discover, ReadEvents}
	case Analyst:
		return []Right{Discover, ReadEvents, SubmitRequests, ReadRequest, CheckConsents}
	case Auditor:
		return []Right{Discover, ReadEvents, ReadProofs, ReadRequest, ListRequests}
	case DPO:
		return []Right{Discover, ReadEvents, RevealPeople, ReadProofs, SubmitRequests, ReadRequest, ListRequests, DecideRequests, CheckConsents, SeeRestricted}
	case Admin:
		return []Right{Discover, ReadEvents, RevealPeople, ReadProofs, SubmitRequests, ReadRequest, ListRequests, DecideRequests, CheckConsents}
	}
	return nil
}

// May says whether a role has a right. What is no role has none.
func (r Role) May(right Right) bool { return slices.Contains(r.rights(), right) }
