package archive

// Format is what an archive's manifest says that it is.
const Format = "agentaudit.export/v1"

// Manifest is manifest.json, the last file of an archive: what the others are.
type Manifest struct {
	Format        string            `json:"format"`
	Request       string            `json:"request_id"`
	Created       string            `json:"created"` // RFC 3339
	Deployment    string            `json:"deployment"`
	Tool          string            `json:"tool"`
	Subject       string            `json:"subject"` // the person's pseudonym
	Events        uint64            `json:"events"`
	AsSubject     uint64            `json:"events_as_subject"`      // in which the person acted
	AsDataSubject uint64            `json:"events_as_data_subject"` // in which the person's data was touched
	Contents      map[string]uint64 `json:"contents"`               // events by what became of their content
	Logs          []LogInfo         `json:"logs"`
	Files         []FileInfo        `json:"files"`
}

// LogInfo is a log that has events of the person.
type LogInfo struct {
	Log            string `json:"log"`
	Events         uint64 `json:"events"`
	CheckpointSize uint64 `json:"checkpoint_size"` // entries that the checkpoint below the proofs vouches for
}

// FileInfo is a file of the archive.
type FileInfo struct {
	Name   string `json:"name"`
	Bytes  int64  `json:"bytes"`
	SHA256 string `json:"sha256"`
}
