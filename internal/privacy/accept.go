package privacy

import (
	"context"
	"errors"

	"github.com/agentaudit/agentaudit/internal/vault"
	"github.com/agentaudit/agentaudit/pkg/gdpr"
)

// ErrOtherRequest: the caller's id belongs to another request.
var ErrOtherRequest = errors.New("another request has this id already")

// Accept stores a request that came from outside as a form, for a tenant. verifiedBy is who has checked it, if whoever sends it may say so; what the form says
// counts for nothing. If the id was there already with the same request, that one is returned as it is, verified or not, and added is false; ErrOtherRequest if
// the id was there with another: somebody else's, perhaps, about somebody else, and is not to be taken for this one.
func Accept(ctx context.Context, v *vault.Vault, form *gdpr.Form, tenant, verifiedBy string) (request vault.Request, added bool, err error) {
	who := vault.Identity{Tenant: tenant, User: form.User}
	request, added, err = Submit(ctx, v, Submission{
		Caller: form.ID, Kind: form.Kind, Who: who, VerifiedBy: verifiedBy, SuppressForever: form.SuppressForever, Asked: form.Submitted,
	})
	if err != nil || added {
		return request, added, err
	}
	if request.Kind != form.Kind || request.Tenant != tenant {
		return vault.Request{}, false, ErrOtherRequest
	}
	// Once a request has ended nobody can tell any more of whom it was.
	theirs, named, err := v.RequestIdentity(ctx, request)
	if err != nil {
		return vault.Request{}, false, err
	}
	if named && theirs != who {
		return vault.Request{}, false, ErrOtherRequest
	}
	return request, false, nil
}
