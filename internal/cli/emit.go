package cli

type emitCommand struct{}

func (emitCommand) Run() error { return nil }
