package chain

import (
	"encoding/hex"
	"errors"
	"strconv"
)

// Ops of control entries.
const (
	OpOpen  = "open"  // entry 0, in epoch 0: names the deployment, the topic, the first offset and, for a successor, its predecessor
	OpEpoch = "epoch" // announces the epoch in which the following entries stand
	OpClose = "close" // the last entry of a log: names its successor
)

// Predecessor is the checkpoint of the log that a successor continues.
type Predecessor struct {
	Log  string
	Size uint64
	Head Hash // leaf hash of entry Size-1; zero if Size is 0
}

// Control is the body of a control entry.
type Control struct {
	Op        string // OpOpen, OpEpoch or OpClose
	NextEpoch uint32 // the epoch in which the entries after this one stand; year*100+month in every op

	// Of OpOpen only.
	Deployment  string
	Topic       string
	Partition   int
	FirstOffset int64
	Predecessor *Predecessor // nil for generation 0

	// Of OpClose only.
	Successor string
}

// AppendControl appends c as the body of a control entry. It writes names as they are: see CheckDeployment and ParseLog for what they may hold.
func AppendControl(dst []byte, c *Control) []byte {
	dst = append(dst, `"control":{"op":"`...)
	dst = append(dst, c.Op...)
	dst = append(dst, `","next_epoch":`...)
	dst = strconv.AppendUint(dst, uint64(c.NextEpoch), 10)
	switch c.Op {
	case OpOpen:
		dst = append(dst, `,"deployment":"`...)
		dst = append(dst, c.Deployment...)
		dst = append(dst, `","topic":"`...)
		dst = append(dst, c.Topic...)
		dst = append(dst, `","partition":`...)
		dst = strconv.AppendInt(dst, int64(c.Partition), 10)
		dst = append(dst, `,"first_offset":`...)
		dst = strconv.AppendInt(dst, c.FirstOffset, 10)
		if p := c.Predecessor; p != nil {
			dst = append(dst, `,"predecessor":{"log":"`...)
			dst = append(dst, p.Log...)
			dst = append(dst, `","size":`...)
			dst = strconv.AppendUint(dst, p.Size, 10)
			dst = append(dst, `,"head":"`...)
			dst = hex.AppendEncode(dst, p.Head[:])
			dst = append(dst, `"}`...)
		}
	case OpClose:
		dst = append(dst, `,"successor":"`...)
		dst = append(dst, c.Successor...)
		dst = append(dst, '"')
	}
	return append(dst, '}')
}

// ParseControl reads the body of a control entry. It accepts exactly what AppendControl writes for valid names and epochs.
func ParseControl(body []byte) (*Control, error) {
	in := cursor{bytes: body}
	if !in.literal(`"control":{"op":"`) {
		return nil, in.malformed("control")
	}
	var c Control
	for _, op := range [...]string{OpOpen, OpEpoch, OpClose} {
		if in.literal(op) {
			c.Op = op
			break
		}
	}
	if c.Op == "" || !in.literal(`","next_epoch":`) {
		return nil, in.malformed("control.op")
	}
	epoch, ok := in.number()
	if !ok || epoch > 999912 || !announceable(uint32(epoch)) {
		return nil, in.malformed("control.next_epoch")
	}
	c.NextEpoch = uint32(epoch)
	var err error
	switch c.Op {
	case OpOpen:
		err = parseOpen(&in, &c)
	case OpClose:
		err = parseClose(&in, &c)
	}
	if err != nil {
		return nil, err
	}
	if !in.literal(`}`) || !in.done() {
		return nil, in.malformed("end of control")
	}
	return &c, nil
}

// ParseOpening reads entry 0 of a log. What a Verifier checks is not checked again: that it stands at its place and fits the log's name.
func ParseOpening(entry []byte) (*Control, error) {
	var header Header
	body, err := ParseHeader(entry, &header)
	if err != nil {
		return nil, err
	}
	c, err := ParseControl(body)
	if err == nil && c.Op != OpOpen {
		return nil, errNoOpening
	}
	return c, err
}

// errNoOpening: the entry is another control entry.
var errNoOpening = errors.New("not an open entry")

func parseOpen(in *cursor, c *Control) error {
	if !in.literal(`,"deployment":"`) {
		return in.malformed("control.deployment")
	}
	c.Deployment = string(in.name())
	if CheckDeployment(c.Deployment) != nil || !in.literal(`","topic":"`) {
		return in.malformed("control.deployment")
	}
	c.Topic = string(in.name())
	if !validTopic(c.Topic) || !in.literal(`","partition":`) {
		return in.malformed("control.topic")
	}
	partition, ok := in.number()
	if !ok || partition > 1<<31-1 || !in.literal(`,"first_offset":`) {
		return in.malformed("control.partition")
	}
	c.Partition = int(partition)
	if c.FirstOffset, ok = in.number(); !ok {
		return in.malformed("control.first_offset")
	}
	if !in.literal(`,"predecessor":{"log":"`) {
		return nil
	}
	p := Predecessor{Log: string(in.name())}
	if _, _, _, err := ParseLog(p.Log); err != nil || !in.literal(`","size":`) {
		return in.malformed("control.predecessor.log")
	}
	size, ok := in.number()
	if !ok || !in.literal(`,"head":"`) {
		return in.malformed("control.predecessor.size")
	}
	p.Size = uint64(size)
	if !in.hash(&p.Head) || !in.literal(`"}`) {
		return in.malformed("control.predecessor.head")
	}
	c.Predecessor = &p
	return nil
}

func parseClose(in *cursor, c *Control) error {
	if !in.literal(`,"successor":"`) {
		return in.malformed("control.successor")
	}
	c.Successor = string(in.name())
	if _, _, _, err := ParseLog(c.Successor); err != nil || !in.literal(`"`) {
		return in.malformed("control.successor")
	}
	return nil
}

// maxDeploymentBytes leaves room for topic and partition in the origin of a checkpoint, which is a key name and a path of URLs.
const maxDeploymentBytes = 128

var errDeployment = errors.New("not the name of a deployment: 1 to 128 characters out of A-Z a-z 0-9 . _ - / expected, the first and last a letter or digit")

// CheckDeployment says whether name can be the name of a deployment: 1 to 128 characters out of A-Z a-z 0-9 . _ - /, beginning and ending with a
// letter or digit. It becomes the origin of signed checkpoints, so it must need no escaping anywhere.
func CheckDeployment(name string) error {
	if len(name) == 0 || len(name) > maxDeploymentBytes || !letterOrDigit(name[0]) || !letterOrDigit(name[len(name)-1]) {
		return errDeployment
	}
	for i := range len(name) {
		if !nameByte(name[i]) && name[i] != '/' {
			return errDeployment
		}
	}
	return nil
}

func letterOrDigit(c byte) bool { return nameByte(c) && c != '.' && c != '_' && c != '-' }

// contradicts says what in a control entry contradicts its own header, or "".
func (c *Control) contradicts(h *Header) (reason string) {
	if (c.Op == OpOpen) != (h.Seq == 0) {
		return "an open entry stands at seq 0 and nowhere else"
	}
	if c.NextEpoch < h.Epoch {
		return "an earlier epoch is announced"
	}
	topic, partition, generation, err := ParseLog(h.Log)
	if err != nil {
		return err.Error()
	}
	switch c.Op {
	case OpOpen:
		if c.Topic != topic || c.Partition != partition {
			return "open names another topic or partition than the log's name does"
		}
		if h.Source.Next != c.FirstOffset {
			return "src.next of the open entry is not its first_offset"
		}
		if (c.Predecessor != nil) != (generation > 0) {
			return "a predecessor is named by successors and by nobody else"
		}
		if c.Predecessor != nil && c.Predecessor.Log != LogName(topic, partition, generation-1) {
			return "predecessor is not the generation before"
		}
	case OpClose:
		if c.Successor != LogName(topic, partition, generation+1) {
			return "successor is not the generation after"
		}
	}
	return ""
}
