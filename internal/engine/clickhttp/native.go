package clickhttp

import (
	"bytes"
	"fmt"

	"github.com/ClickHouse/ch-go/proto"
)

// helloQuery is what clickhouse-go asks first over HTTP.
const helloQuery = "SELECT displayName(), version(), revision(), timezone()"

func isHello(text []byte) bool {
	return len(text) < 2*len(helloQuery) && string(bytes.TrimSpace(text)) == helloQuery
}

// identity is what the engine says of itself.
type identity struct{ displayName, version, timezone string }

// hello answers helloQuery. The client reads this block at the revision that it asked for and
// every later one at the revision told here; libchdb writes blocks of revision 0 only.
func (id identity) hello(revision int) ([]byte, error) {
	var name, version, timezone proto.ColStr
	var told proto.ColUInt32
	name.Append(id.displayName)
	version.Append(id.version)
	told.Append(0)
	timezone.Append(id.timezone)
	block := proto.Block{Info: proto.BlockInfo{BucketNum: -1}, Columns: 4, Rows: 1}
	var buf proto.Buffer
	err := block.EncodeBlock(&buf, revision, []proto.InputColumn{
		{Name: "displayName()", Data: &name}, {Name: "version()", Data: &version},
		{Name: "revision()", Data: &told}, {Name: "timezone()", Data: &timezone},
	})
	if err != nil {
		return nil, fmt.Errorf("encode the answer to a client's hello: %w", err)
	}
	return buf.Buf, nil
}
