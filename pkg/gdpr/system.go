package gdpr

import "crypto/ed25519"

// systemLabel parts signatures of system records from every other use of an author's key.
const systemLabel = "agentaudit/system/v1\x00"

// SignSystem signs a record of the topic audit.system for its author: Ed25519 over "agentaudit/system/v1" ‖ 0x00 ‖ record.
func SignSystem(key ed25519.PrivateKey, record []byte) []byte {
	return ed25519.Sign(key, systemMessage(record))
}

// VerifySystem says whether sig is the signature of record by the author who owns pub. A key or signature of the wrong length is simply not valid.
func VerifySystem(pub ed25519.PublicKey, record, sig []byte) bool {
	return len(pub) == ed25519.PublicKeySize && ed25519.Verify(pub, systemMessage(record), sig)
}

func systemMessage(record []byte) []byte {
	message := make([]byte, 0, len(systemLabel)+len(record))
	return append(append(message, systemLabel...), record...)
}
