package gdpr

import "crypto/ed25519"

// SignSystem signs a record of the topic audit.system for its author.
func SignSystem(key ed25519.PrivateKey, record []byte) []byte { return nil }

// VerifySystem says whether sig is the signature of record by the author who owns pub.
func VerifySystem(pub ed25519.PublicKey, record, sig []byte) bool { return false }
