package store

// Block holds the rows of one insert in the form in which they are sent. It belongs
// to one goroutine; Insert may read it until it has returned.
type Block struct{}

// NewBlock returns an empty block.
func NewBlock() *Block { return &Block{} }

// Append adds a row. It fails, and leaves the block as it was, if the row does not fit
// (ErrBlockFull) or does not continue the block: same log, same epoch, next seq.
func (b *Block) Append(r *Row) error { return nil }

// Rows returns the number of rows.
func (b *Block) Rows() int { return 0 }

// Bytes returns the size of the columns as they are sent.
func (b *Block) Bytes() int { return 0 }

// Reset empties the block and keeps its memory.
func (b *Block) Reset() {}
