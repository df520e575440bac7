package events

// Parser parses records. It is not safe for concurrent use; give each goroutine its own.
type Parser struct{}

// NewParser returns a Parser.
func NewParser() *Parser { return &Parser{} }

// Parse parses a record into ev. The error is an *Invalid.
func (p *Parser) Parse(record []byte, ev *Event) error { return nil }
