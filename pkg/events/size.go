package events

// attributesBytes returns the size of attributes as compact JSON, escapes as they are.
func (e *Event) attributesBytes() int {
	if len(e.attributes) == 0 {
		return len("{}")
	}
	n := len("{}") - len(",")
	for i := 0; i < len(e.attributes); i += 2 {
		n += e.attributes[i].len() + e.attributes[i+1].len() + len(`"":"",`)
	}
	return n
}

// publicBytes returns the size of what may stand in the clear, as compact JSON, escapes as they
// are: every member that a policy may leave readable or replace by a token.
func (e *Event) publicBytes() int {
	n := len("{}")
	for f := FieldRecord + 1; f < NumFields; f++ {
		if !e.Has(f) {
			continue
		}
		switch info := &fields[f]; {
		case f == FieldAttributes:
			n += len(`"attributes":,`) + e.attributesBytes()
		case info.rules&public != 0:
			n += len(info.name) + len(`"":"",`) + e.spans[f].len()
		case info.kind == kindObject && f != FieldContent:
			n += len(info.name) + len(`"":{},`)
		}
	}
	return n
}
