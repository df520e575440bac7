package chain

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
func AppendControl(dst []byte, c *Control) []byte { return dst }

// ParseControl reads the body of a control entry. It accepts exactly what AppendControl writes.
func ParseControl(body []byte) (*Control, error) { return nil, nil }

// CheckDeployment says whether name can be the name of a deployment: 1 to 128 characters out of A-Z a-z 0-9 . _ - /, beginning and ending with a
// letter or digit. It becomes the origin of signed checkpoints, so it must need no escaping anywhere.
func CheckDeployment(name string) error { return nil }
