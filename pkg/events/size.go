package events

// memberBytes is what a member takes in compact JSON beside its name and value: quotes of both,
// colon, comma.
const memberBytes = len(`"":"",`)

// attributesBytes returns the size of attributes as compact JSON, escapes as they are.
func (e *Event) attributesBytes() int {
	if len(e.attributes) == 0 {
		return len("{}")
	}
	n := len("{}") - len(",")
	for _, s := range e.attributes {
		n += s.len()
	}
	return n + len(e.attributes)/2*memberBytes
}

// publicBytes returns the size of what may stand in the clear: every member that a policy may
// leave readable or replace by a token, each counted with its name, its value as it stands in the
// record, and memberBytes. It is at most a few bytes above the compact JSON of them.
func (e *Event) publicBytes() int {
	n := len("{}")
	for f := FieldRecord + 1; f < NumFields; f++ {
		if !e.Has(f) {
			continue
		}
		switch info := &fields[f]; {
		case f == FieldAttributes:
			n += len(info.name) + memberBytes + e.attributesBytes()
		case info.rules&public != 0:
			n += len(info.name) + memberBytes + e.spans[f].len()
		case info.kind == kindObject && f != FieldContent:
			n += len(info.name) + memberBytes
		}
	}
	return n
}
