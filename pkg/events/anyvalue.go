package events

// any parses a value of any type. depth is the level of what holds it. Objects in it may have no
// two members of one name.
func (p *Parser) any(depth int) *Invalid {
	switch c := p.next(); c {
	case '"':
		_, err := p.str()
		return err
	case '{':
		return p.anyObject(depth + 1)
	case '[':
		return p.anyArray(depth + 1)
	case 't':
		return p.literal("true")
	case 'f':
		return p.literal("false")
	case 'n':
		return p.literal("null")
	case '-', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9':
		_, err := p.number()
		return err
	default:
		return p.syntax()
	}
}

func (p *Parser) anyObject(depth int) *Invalid {
	if depth > MaxDepth {
		return p.fail(reasonDepth)
	}
	p.pos++
	if p.next() == '}' {
		p.pos++
		return nil
	}
	scope := p.names.begin()
	for {
		name, err := p.name()
		if err != nil {
			return err
		}
		if !p.names.add(&scope, name) {
			return p.fail(reasonTwoMembers)
		}
		if err := p.any(depth); err != nil {
			return err
		}
		more, err := p.more('}')
		if err != nil {
			return err
		}
		if !more {
			p.names.end(&scope)
			return nil
		}
	}
}

func (p *Parser) anyArray(depth int) *Invalid {
	if depth > MaxDepth {
		return p.fail(reasonDepth)
	}
	p.pos++
	if p.next() == ']' {
		p.pos++
		return nil
	}
	for {
		if err := p.any(depth); err != nil {
			return err
		}
		if more, err := p.more(']'); !more {
			return err
		}
	}
}

// name parses a member's name and the colon.
func (p *Parser) name() (span, *Invalid) {
	if p.next() != '"' {
		return span{}, p.syntax()
	}
	name, err := p.str()
	if err != nil {
		return span{}, err
	}
	if p.next() != ':' {
		return span{}, p.syntax()
	}
	p.pos++
	return name, nil
}

// more parses what follows a member or element: a comma (true) or the end, which is '}' or ']'.
func (p *Parser) more(end byte) (bool, *Invalid) {
	switch p.next() {
	case ',':
		p.pos++
		return true, nil
	case end:
		p.pos++
		return false, nil
	}
	return false, p.syntax()
}
