package chain

// Rejected is the body of a rejected entry, apart from its sealed content.
type Rejected struct {
	Field  string // the field that was not acceptable; "" for the record as a whole
	Reason string // for people; quotes nothing of the record
	Bytes  int    // size of the record's value
}

// AppendRejected appends `"rejected":{…}`, the first part of the body of a rejected entry; `,"content":{…}` follows.
func AppendRejected(dst []byte, r *Rejected) []byte { return dst }

// AppendSystem appends the body of a system entry: the author's name, the signature (64 bytes, Ed25519, see gdpr.SignSystem) and the signed record
// byte for byte. The record must be one JSON object.
func AppendSystem(dst []byte, author string, sig, record []byte) []byte { return dst }
