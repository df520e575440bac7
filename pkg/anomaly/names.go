package anomaly

// names are strings by number, so that entities need no pointers.
type names struct {
	list  []string
	index map[string]uint32
}

func (n *names) init() { n.list, n.index = []string{""}, map[string]uint32{"": 0} }

func (n *names) of(s string) uint32 {
	i, ok := n.index[s]
	if !ok {
		i = uint32(len(n.list))
		n.list = append(n.list, s)
		n.index[s] = i
	}
	return i
}
