package events

// value parses the value of a known field; depth is the level of the object that holds it.
func (p *Parser) value(ev *Event, f Field, depth int) *Invalid {
	info := &fields[f]
	c := p.next()
	s := span{first: uint32(p.pos)}
	var err *Invalid
	switch info.kind {
	case kindAny:
		err = p.any(depth)
		s.last = uint32(p.pos)
	case kindCount, kindCost:
		if c != '-' && c-'0' > 9 {
			return p.wrongType("must be a number", c)
		}
		if s, err = p.number(); err == nil {
			err = p.checkNumber(ev, f, s)
		}
	case kindObject:
		if c != '{' {
			return p.wrongType("must be an object", c)
		}
		err = p.object(ev, f, depth+1)
		s.last = uint32(p.pos)
	case kindAttributes:
		if c != '{' {
			return p.wrongType("must be an object of strings", c)
		}
		err = p.attributes(ev)
		s.last = uint32(p.pos)
	case kindSubjects:
		if c != '[' {
			return p.wrongType("must be an array of strings", c)
		}
		err = p.subjects(ev)
		s.last = uint32(p.pos)
	default:
		if c != '"' {
			return p.wrongType("must be a string", c)
		}
		if s, err = p.str(); err != nil {
			return err
		}
		if n := s.len(); info.kind == kindLine && n > 0 && n <= info.limit && p.plain(s) {
			break // nothing in it can be wrong; most strings end here
		}
		if s.len() == 0 && (info.kind == kindLine || info.kind == kindText) && info.rules&nonEmpty == 0 {
			return nil // seen, but not there
		}
		err = p.checkString(ev, info, s)
	}
	if err != nil {
		return err
	}
	ev.spans[f] = s
	ev.has |= 1 << f
	return nil
}

// attributes parses an object of strings at its brace.
func (p *Parser) attributes(ev *Event) *Invalid {
	start := p.pos
	p.pos++
	if p.next() == '}' {
		p.pos++
		return nil
	}
	scope := p.names.begin()
	for {
		key, err := p.name()
		if err != nil {
			return err
		}
		if reason := p.attributeKeyFault(key); reason != "" {
			return p.fail(reason)
		}
		if !p.names.add(&scope, key) {
			return p.fail(reasonTwoMembers)
		}
		if c := p.next(); c != '"' {
			return p.wrongType("a value must be a string", c)
		}
		value, err := p.str()
		if err != nil {
			return err
		}
		if p.hasNUL(value) {
			return p.fail(reasonNUL)
		}
		ev.attributes = append(ev.attributes, key, value)
		more, err := p.more('}')
		if err != nil {
			return err
		}
		if !more {
			break
		}
	}
	p.names.end(&scope)
	if p.pos-start > MaxAttributesBytes && ev.attributesBytes() > MaxAttributesBytes {
		return p.fail(reasonAttributesSize)
	}
	return nil
}

// subjects parses an array of identities at its bracket.
func (p *Parser) subjects(ev *Event) *Invalid {
	info := &fields[FieldDataSubjects]
	p.pos++
	if p.next() == ']' {
		p.pos++
		return nil
	}
	for {
		if c := p.next(); c != '"' {
			return p.wrongType("an entry must be a string", c)
		}
		s, err := p.str()
		if err != nil {
			return err
		}
		if s.len() == 0 {
			return p.fail(reasonSubjectEmpty)
		}
		if len(ev.subjects) == MaxDataSubjects {
			return p.fail(reasonManySubjects)
		}
		if err := p.checkString(ev, info, s); err != nil {
			return err
		}
		ev.subjects = append(ev.subjects, s)
		if more, err := p.more(']'); !more {
			return err
		}
	}
}

// wrongType says that a value starting with c is not what the field wants.
func (p *Parser) wrongType(want string, c byte) *Invalid {
	got := typeName(c)
	if got == "" {
		return p.syntax()
	}
	return p.fail(want + ", not " + got)
}

// typeName names the type of a JSON value by its first byte, "" if no value starts with it.
func typeName(c byte) string {
	switch c {
	case '"':
		return "a string"
	case '{':
		return "an object"
	case '[':
		return "an array"
	case 't', 'f':
		return "a boolean"
	case 'n':
		return "null"
	case '-', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9':
		return "a number"
	}
	return ""
}
