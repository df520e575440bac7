package gdpr

// Kafka headers of a record of the topic audit.system.
const (
	HeaderAuthor    = "agentaudit-author"    // the author's name, as the vault knows it
	HeaderSignature = "agentaudit-signature" // base64 of what SignSystem returns
)
