// Package api answers questions over HTTP, below /v1/, for those who have an API key: events, proofs, and people's requests. Whatever is asked is noted for the
// log before anything is shown or changed; what cannot be noted is not answered. Nothing here logs what was asked: addresses and bodies may name people.
package api
