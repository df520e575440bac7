package rules

import (
	"math"

	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/types"
)

// lowering turns a checked condition into its native part. What it does not know becomes opMaybe, never a guess: CEL has the last word there.
type lowering struct {
	checked *ast.AST
	lists   map[string]*List
	window  bool   // names are those of windows
	loop    string // the variable of the findings' loop around the expression at hand
}

func (l *lowering) condition(e ast.Expr) native {
	switch e.Kind() {
	case ast.LiteralKind:
		if b, ok := e.AsLiteral().(types.Bool); ok {
			return constantTruth(bool(b))
		}
	case ast.IdentKind:
		if v := l.variable(e); v.isBool() {
			return native{op: opTrue, variable: v}
		}
	case ast.CallKind:
		return l.call(e.AsCall())
	case ast.ComprehensionKind:
		return l.findings(e.AsComprehension())
	case ast.SelectKind:
		// has(attributes.name)
		if s := e.AsSelect(); s.IsTestOnly() && l.variable(s.Operand()) == varAttributes {
			return native{op: opAttribute, key: []byte(s.FieldName())}
		}
	}
	return native{}
}

func constantTruth(b bool) native {
	n := native{op: opConst}
	if b {
		n.left.constant = 1
	}
	return n
}

func (l *lowering) call(c ast.CallExpr) native {
	args := c.Args()
	switch c.FunctionName() {
	case operators.LogicalAnd:
		return l.join(opAnd, args)
	case operators.LogicalOr:
		return l.join(opOr, args)
	case operators.LogicalNot:
		return native{op: opNot, sides: []native{l.condition(args[0])}}
	case operators.Equals:
		return l.equal(args[0], args[1])
	case operators.NotEquals:
		return native{op: opNot, sides: []native{l.equal(args[0], args[1])}}
	case operators.Less:
		return l.compare(opLess, args[0], args[1])
	case operators.LessEquals:
		return l.compare(opLessEqual, args[0], args[1])
	case operators.Greater:
		return l.compare(opLess, args[1], args[0])
	case operators.GreaterEquals:
		return l.compare(opLessEqual, args[1], args[0])
	case operators.In:
		return l.in(args[0], args[1])
	case "startsWith":
		return l.member(opTextPrefix, c)
	case "endsWith":
		return l.member(opTextSuffix, c)
	case "contains":
		return l.member(opTextContains, c)
	case globFunction:
		return l.member(opTextGlob, c)
	}
	return native{}
}

func (l *lowering) join(op nativeOp, args []ast.Expr) native {
	n := native{op: op}
	for _, arg := range args {
		side := l.condition(arg)
		if side.op == op {
			n.sides = append(n.sides, side.sides...)
			continue
		}
		n.sides = append(n.sides, side)
	}
	return n
}

func (l *lowering) equal(a, b ast.Expr) native {
	for range 2 {
		if v, key, ok := l.textual(a); ok {
			if text, ok := literalText(b); ok {
				return native{op: opTextEqual, variable: v, key: key, text: []byte(text)}
			}
		}
		a, b = b, a
	}
	return l.compare(opEqual, a, b)
}

func (l *lowering) compare(op nativeOp, a, b ast.Expr) native {
	left, ok := l.number(a)
	if !ok {
		return native{}
	}
	right, ok := l.number(b)
	if !ok {
		return native{}
	}
	return native{op: op, left: left, right: right}
}

func (l *lowering) in(element, container ast.Expr) native {
	if word, ok := literalText(element); ok && l.variable(container) == varAttributes {
		return native{op: opAttribute, key: []byte(word)}
	}
	v, key, ok := l.textual(element)
	if !ok {
		return native{}
	}
	switch container.Kind() {
	case ast.IdentKind:
		if list := l.lists[container.AsIdent()]; list != nil {
			return native{op: opTextInList, variable: v, key: key, list: list}
		}
	case ast.ListKind:
		elements := container.AsList()
		if len(elements.OptionalIndices()) > 0 {
			return native{}
		}
		words := make(map[string]struct{}, elements.Size())
		for _, element := range elements.Elements() {
			word, ok := literalText(element)
			if !ok {
				return native{}
			}
			words[word] = struct{}{}
		}
		return native{op: opTextInWords, variable: v, key: key, words: words}
	}
	return native{}
}

// member is a function of a text that is asked about a constant.
func (l *lowering) member(op nativeOp, c ast.CallExpr) native {
	if !c.IsMemberFunction() || len(c.Args()) != 1 {
		return native{}
	}
	v, key, textual := l.textual(c.Target())
	text, ok := literalText(c.Args()[0])
	if !textual || !ok {
		return native{}
	}
	return native{op: op, variable: v, key: key, text: []byte(text)}
}

// textual takes a text of an event: a variable, or an attribute by its name.
func (l *lowering) textual(e ast.Expr) (v variable, key []byte, ok bool) {
	switch e.Kind() {
	case ast.IdentKind:
		v = l.variable(e)
		return v, nil, v.isText()
	case ast.SelectKind:
		s := e.AsSelect()
		return varAttributes, []byte(s.FieldName()), !s.IsTestOnly() && l.variable(s.Operand()) == varAttributes
	case ast.CallKind:
		c := e.AsCall()
		if c.FunctionName() != operators.Index || len(c.Args()) != 2 || l.variable(c.Args()[0]) != varAttributes {
			return varNone, nil, false
		}
		name, ok := literalText(c.Args()[1])
		return varAttributes, []byte(name), ok
	}
	return varNone, nil, false
}

// findings takes what the macro findings.exists(f, …) becomes: a loop that starts with false and joins by ||.
func (l *lowering) findings(c ast.ComprehensionExpr) native {
	start := c.AccuInit()
	step := c.LoopStep()
	switch {
	case l.window || l.loop != "" || c.HasIterVar2() || l.variable(c.IterRange()) != varFindings:
		return native{}
	case start.Kind() != ast.LiteralKind || start.AsLiteral() != types.False:
		return native{}
	case step.Kind() != ast.CallKind || step.AsCall().FunctionName() != operators.LogicalOr || len(step.AsCall().Args()) != 2:
		return native{}
	case c.Result().Kind() != ast.IdentKind || c.Result().AsIdent() != c.AccuVar():
		return native{}
	}
	accumulated, body := step.AsCall().Args()[0], step.AsCall().Args()[1]
	if accumulated.Kind() != ast.IdentKind || accumulated.AsIdent() != c.AccuVar() {
		return native{}
	}
	inner := *l
	inner.loop = c.IterVar()
	return native{op: opAnyFinding, sides: []native{inner.condition(body)}}
}

// variable returns the variable of an event that an expression names, varNone if it names none.
func (l *lowering) variable(e ast.Expr) variable {
	if e.Kind() != ast.IdentKind || l.window {
		return varNone
	}
	if name := e.AsIdent(); l.loop == "" || name != l.loop {
		return variablesByName[name]
	}
	return varLoop
}

// number takes what is exact in float64: fields, constants below 2^53, and arithmetic that CEL does in float64 too.
func (l *lowering) number(e ast.Expr) (number, bool) {
	switch e.Kind() {
	case ast.LiteralKind:
		return literalNumber(e)
	case ast.IdentKind:
		return l.namedNumber(e)
	case ast.CallKind:
	default:
		return number{}, false
	}
	c := e.AsCall()
	if c.FunctionName() == "size" && !c.IsMemberFunction() && len(c.Args()) == 1 && l.variable(c.Args()[0]) == varFindings {
		return number{op: numVariable, variable: varFindingCount}, true
	}
	op, ok := arithmetic(c.FunctionName())
	if !ok || l.checked.GetType(e.ID()) != types.DoubleType {
		return number{}, false
	}
	n := number{op: op}
	for _, arg := range c.Args() {
		side, ok := l.number(arg)
		if !ok {
			return number{}, false
		}
		n.sides = append(n.sides, side)
	}
	return n, true
}

// arithmetic is what an operator of CEL does with numbers.
func arithmetic(operator string) (op numberOp, ok bool) {
	switch operator {
	case operators.Add:
		return numAdd, true
	case operators.Subtract:
		return numSubtract, true
	case operators.Multiply:
		return numMultiply, true
	case operators.Divide:
		return numDivide, true
	case operators.Negate:
		return numNegate, true
	}
	return op, false
}

func (l *lowering) namedNumber(e ast.Expr) (number, bool) {
	name := e.AsIdent()
	if l.window {
		n, ok := windowNames[name]
		return number{op: numWindow, window: n}, ok
	}
	if threat, ok := threats()[name]; ok && name != l.loop {
		return number{op: numConstant, constant: float64(threat)}, true
	}
	v := l.variable(e)
	return number{op: numVariable, variable: v}, v.isNumber()
}

func literalNumber(e ast.Expr) (number, bool) {
	const exact = 1 << 53
	switch value := e.AsLiteral().(type) {
	case types.Int:
		return number{constant: float64(value)}, -exact < value && value < exact
	case types.Double:
		return number{constant: float64(value)}, !math.IsNaN(float64(value))
	}
	return number{}, false
}

func literalText(e ast.Expr) (string, bool) {
	if e.Kind() != ast.LiteralKind {
		return "", false
	}
	text, ok := e.AsLiteral().(types.String)
	return string(text), ok
}
