package rules

import (
	"bytes"
	"math"
)

// truth is what is known of a condition without CEL.
type truth uint8

const (
	no truth = iota
	maybe
	yes
)

func truthOf(b bool) truth {
	if b {
		return yes
	}
	return no
}

// native is the part of a condition that is decided without CEL: comparisons of fields with constants, lists, and what joins them. What it cannot tell
// is maybe. CEL's && and || are decided by one side whatever the other is, errors included, so smallest and largest truth are exactly theirs.
type native struct {
	op       nativeOp
	variable variable
	key      []byte // of an attribute
	text     []byte
	words    map[string]struct{}
	list     *List
	left     number
	right    number
	sides    []native
}

type nativeOp uint8

const (
	opMaybe nativeOp = iota // only CEL knows
	opConst                 // left.constant != 0
	opAnd
	opOr
	opNot
	opTrue      // a variable that is true or false
	opAttribute // an attribute is there
	opTextEqual
	opTextPrefix
	opTextSuffix
	opTextContains
	opTextGlob
	opTextInWords
	opTextInList
	opLess
	opLessEqual
	opEqual
	opAnyFinding // sides[0], for one of the findings
)

// number is a number of an event or a window, a constant, or double arithmetic with them.
type number struct {
	op       numberOp
	constant float64
	variable variable
	window   windowName
	sides    []number
}

type numberOp uint8

const (
	numConstant numberOp = iota
	numVariable
	numWindow
	numAdd
	numSubtract
	numMultiply
	numDivide
	numNegate
)

// decides tells whether n can ever say more than maybe.
func (n *native) decides() bool {
	switch n.op {
	case opMaybe:
		return false
	case opAnd, opOr, opNot:
		for i := range n.sides {
			if n.sides[i].decides() {
				return true
			}
		}
		return false
	}
	return true
}

// eval allocates nothing, unless a list has networks.
func (n *native) eval(f *frame) truth {
	switch n.op {
	case opConst:
		return truthOf(n.left.constant != 0)
	case opAnd:
		result := yes
		for i := range n.sides {
			if result = min(result, n.sides[i].eval(f)); result == no {
				return no
			}
		}
		return result
	case opOr:
		result := no
		for i := range n.sides {
			if result = max(result, n.sides[i].eval(f)); result == yes {
				return yes
			}
		}
		return result
	case opNot:
		return yes - n.sides[0].eval(f)
	case opTrue:
		return truthOf(f.truth(n.variable))
	case opLess, opLessEqual, opEqual:
		return n.compare(f)
	case opAnyFinding:
		result := no
		for i := range f.findings {
			f.loop = f.findings[i].Name
			if result = max(result, n.sides[0].eval(f)); result == yes {
				return yes
			}
		}
		return result
	case opMaybe:
		return maybe
	case opAttribute:
		_, ok := f.attribute(n.key)
		return truthOf(ok)
	}
	if n.variable == varAttributes {
		text, ok := f.attribute(n.key)
		if !ok {
			return maybe // CEL fails then
		}
		return truthOf(n.textHolds(text))
	}
	return truthOf(n.textHolds(f.text(n.variable)))
}

func (n *native) textHolds(text []byte) bool {
	switch n.op {
	case opTextEqual:
		return bytes.Equal(text, n.text)
	case opTextPrefix:
		return bytes.HasPrefix(text, n.text)
	case opTextSuffix:
		return bytes.HasSuffix(text, n.text)
	case opTextContains:
		return bytes.Contains(text, n.text)
	case opTextGlob:
		return globMatches(string(n.text), text)
	case opTextInWords:
		_, ok := n.words[string(text)]
		return ok
	default:
		return n.list.has(text)
	}
}

func (n *native) compare(f *frame) truth {
	left, right := n.left.eval(f), n.right.eval(f)
	if math.IsNaN(left) || math.IsNaN(right) {
		return maybe // CEL's comparisons fail then
	}
	switch n.op {
	case opLess:
		return truthOf(left < right)
	case opLessEqual:
		return truthOf(left <= right)
	}
	return truthOf(left == right)
}

func (n *number) eval(f *frame) float64 {
	switch n.op {
	case numConstant:
		return n.constant
	case numVariable:
		return f.number(n.variable)
	case numWindow:
		return f.quantity(n.window)
	case numNegate:
		return -n.sides[0].eval(f)
	}
	left, right := n.sides[0].eval(f), n.sides[1].eval(f)
	switch n.op {
	case numAdd:
		return left + right
	case numSubtract:
		return left - right
	case numMultiply:
		return left * right
	}
	return left / right
}
