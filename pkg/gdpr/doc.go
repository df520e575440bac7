// Package gdpr seals what is personal: the content of events is encrypted under keys of the people it is about, and identifiers become tokens under
// such keys, so that destroying a key makes both meaningless in every copy.
//
// The package is pure: it reads random bytes and nothing else. Keys come from the vault. The construction is described byte by byte in
// docs/formats.md, with test vectors in schemas/vectors/content. It is made of standard parts (HMAC-SHA-256, SHA-256, AES-256-GCM, Ed25519), but no
// cryptographer has reviewed how they are put together yet.
package gdpr
