package kafkaio

// BatchChecker tells record batches that Follow would deliver whole from those that it would refuse. It keeps its decoders: make one and use it
// again. One goroutine may use it.
type BatchChecker struct {
	decoder decoder
	slab    slab
	answer  response
}

// checkedPlain is how much of a compressed batch is unpacked at a time.
const checkedPlain = 1 << 20

// NewBatchChecker returns one that has checked nothing yet.
func NewBatchChecker() *BatchChecker {
	c := &BatchChecker{decoder: decoder{maxPlain: checkedPlain, agreed: anyBase}}
	c.slab.keep = 2 * checkedPlain
	c.answer.holders.Store(1) // never given back
	return c
}

// Check reads batches through and says what is wrong with the first bad one, quoting nothing of its records. They take bounded memory, whatever they
// unpack to.
func (c *BatchChecker) Check(batches []byte) error {
	defer c.slab.recycle()
	c.decoder.start(&c.answer, batches, 0)
	for !c.decoder.done() {
		c.slab.recycle()
		if err := c.decoder.fill(&c.slab); err != nil {
			return err
		}
	}
	return nil
}
