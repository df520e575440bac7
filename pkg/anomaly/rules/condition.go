package rules

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/cost"
	"cel.dev/cel-go/common/env"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/interpreter"

	"github.com/agentaudit/agentaudit/pkg/anomaly"
)

// condition is a compiled condition. It is immutable.
type condition struct {
	native  native
	decides bool // native may know
	program cel.Program
	// features are those that a condition on windows names, in the order of their numbers.
	features []anomaly.WindowFeature
}

// verdict is what became of a condition.
type verdict uint8

const (
	fails verdict = iota // it does not hold
	holds
	broken // it could not be told, such as when an attribute that it names is absent
	cut    // it cost too much
)

// judge tells whether the condition holds for what the frame is about.
func (c *condition) judge(f *frame) verdict {
	if c.decides {
		switch c.native.eval(f) {
		case yes:
			return holds
		case no:
			return fails
		}
	}
	value, _, err := c.program.Eval(f)
	var cancelled interpreter.EvalCancelledError
	switch {
	case errors.As(err, &cancelled):
		return cut
	case err != nil:
		return broken
	case value == types.True:
		return holds
	}
	return fails
}

const globFunction = "glob"

// listCost is what it costs to ask a list: a look-up, a few patterns, a look-up for each length of a network.
const listCost = 20

// celFunctions are the parts of CEL that conditions have. Left out is what could be slow (times with a zone, which read files), what makes new values
// from values (map, filter), and what has no use here.
var celFunctions = []string{
	operators.LogicalAnd, operators.LogicalOr, operators.LogicalNot, operators.NotStrictlyFalse, operators.Conditional,
	operators.Equals, operators.NotEquals, operators.Less, operators.LessEquals, operators.Greater, operators.GreaterEquals,
	operators.Add, operators.Subtract, operators.Multiply, operators.Divide, operators.Modulo, operators.Negate,
	operators.In, operators.Index,
	"size", "startsWith", "endsWith", "contains", "matches", "int", "double", "string",
}

// compiler compiles conditions that use the same lists.
type compiler struct {
	lists   map[string]*List // by variable: lists.name
	events  *cel.Env
	windows *cel.Env
}

func newCompiler(lists map[string]*List) (*compiler, error) {
	c := &compiler{lists: lists}
	common := []cel.EnvOption{
		cel.StdLib(cel.StdLibSubset(&env.LibrarySubset{IncludeMacros: []string{"has", "exists", "all", "exists_one"}, IncludeFunctions: functionNames()})),
		cel.CrossTypeNumericComparisons(true),
		cel.DefaultUTCTimeZone(true),
		cel.ParserExpressionSizeLimit(maxConditionBytes),
		cel.ParserRecursionLimit(maxDepth),
		cel.ExpressionNodeLimit(maxNodes),
		cel.ExpressionNestingDepthLimit(maxDepth),
		cel.ParserErrorRecoveryLimit(5),
		cel.RegexProgramSizeLimit(maxRegexSize),
		cel.ASTValidators(cel.ValidateRegexLiterals(), cel.ValidateRegexProgramSizeLimit(maxRegexSize), cel.ValidateHomogeneousAggregateLiterals(),
			cel.ValidateComprehensionNestingLimit(maxNesting)),
		cel.Function(globFunction, cel.MemberOverload("string_glob_string", []*cel.Type{cel.StringType, cel.StringType}, cel.BoolType,
			cel.BinaryBinding(func(text, pattern ref.Val) ref.Val {
				return types.Bool(globMatches(string(pattern.(types.String)), []byte(text.(types.String))))
			}))),
		cel.Function("inNetwork", cel.MemberOverload("string_in_network_string", []*cel.Type{cel.StringType, cel.StringType}, cel.BoolType,
			cel.BinaryBinding(inNetwork))),
		cel.Function(operators.In, cel.Overload("in_agentaudit_list", []*cel.Type{cel.StringType, listType}, cel.BoolType)),
		cel.CostModel(
			cost.Overload("in_agentaudit_list", cost.EvalCost(cost.Const(listCost))),
			cost.MemberOverload("string_glob_string", cost.EvalCost(cost.Sum(cost.Const(1), cost.Scale(cost.Mul(cost.Target(), cost.Arg(0)), 0.02)))),
			cost.MemberOverload("string_in_network_string", cost.EvalCost(cost.Const(5)))),
	}
	for name := range lists {
		common = append(common, cel.Variable(name, listType))
	}
	var err error
	if c.events, err = cel.NewCustomEnv(append(common, eventNames()...)...); err != nil {
		return nil, fmt.Errorf("prepare conditions on events: %w", err)
	}
	if c.windows, err = cel.NewCustomEnv(append(common, windowVariables()...)...); err != nil {
		return nil, fmt.Errorf("prepare conditions on windows: %w", err)
	}
	return c, nil
}

func functionNames() []*env.Function {
	var functions []*env.Function
	for _, name := range celFunctions {
		functions = append(functions, env.NewFunction(name))
	}
	return functions
}

func eventNames() []cel.EnvOption {
	var options []cel.EnvOption
	for _, info := range variables {
		if info.name != "" {
			options = append(options, cel.Variable(info.name, info.of))
		}
	}
	for name, threat := range threats() {
		options = append(options, cel.Constant(name, cel.IntType, types.Int(threat)))
	}
	return options
}

func windowVariables() []cel.EnvOption {
	options := []cel.EnvOption{cel.Variable("tenant", cel.StringType), cel.Variable("entity", cel.StringType)}
	for name := range windowNames {
		options = append(options, cel.Variable(name, cel.DoubleType))
	}
	return options
}

func inNetwork(text, network ref.Val) ref.Val {
	var one List
	pattern := string(network.(types.String))
	if _, ok := parseNetwork(pattern); !ok {
		return types.NewErr("no network such as 10.0.0.0/8")
	}
	if err := one.add(pattern); err != nil {
		return types.WrapErr(err)
	}
	return types.Bool(one.has([]byte(text.(types.String))))
}

// fault is one thing that is wrong with a condition.
type fault struct {
	line   int // within the condition, from 1
	reason string
}

// compile takes a condition on events, or on windows.
func (c *compiler) compile(text string, on domain) (*condition, []fault) {
	if strings.TrimSpace(text) == "" {
		return nil, []fault{{1, "the condition is empty"}}
	}
	if len(text) > maxConditionBytes {
		return nil, []fault{{1, fmt.Sprintf("a condition of %d bytes, at most %d expected", len(text), maxConditionBytes)}}
	}
	environment := c.events
	if on == onWindows {
		environment = c.windows
	}
	parsed, issues := environment.Compile(text)
	if issues.Err() != nil {
		return nil, faultsOf(issues)
	}
	if kind := parsed.OutputType(); kind != cel.BoolType {
		return nil, []fault{{1, fmt.Sprintf("the condition is of type %s, bool expected", cel.FormatCELType(kind))}}
	}
	estimate, err := environment.EstimateCost(parsed, sizes{})
	if err != nil {
		return nil, []fault{{1, fmt.Sprintf("the cost of the condition: %v", err)}}
	}
	if estimate.Min > cutCost || estimate.Max > refusedCost {
		return nil, []fault{{1, fmt.Sprintf("the condition may cost %d steps for one event, at most %d expected: avoid loops within loops", estimate.Max, refusedCost)}}
	}
	options := []cel.ProgramOption{cel.EvalOptions(cel.OptOptimize)}
	if estimate.Max > freeCost {
		options = append(options, cel.CostTracking(nil), cel.CostLimit(cutCost))
	}
	program, err := environment.Program(parsed, options...)
	if err != nil {
		return nil, []fault{{1, fmt.Sprintf("the condition cannot be run: %v", err)}}
	}
	checked := parsed.NativeRep()
	l := lowering{checked: checked, lists: c.lists, window: on == onWindows}
	compiled := &condition{native: l.condition(checked.Expr()), program: program}
	compiled.decides = compiled.native.decides()
	if on == onWindows {
		compiled.features = featuresOf(checked)
	}
	return compiled, nil
}

// domain is what a condition is about.
type domain uint8

const (
	onEvents domain = iota
	onWindows
)

// faultsOf words what CEL has to say for people who write rules.
func faultsOf(issues *cel.Issues) []fault {
	var faults []fault
	for _, e := range issues.Errors() {
		// CEL marks the place below the text; on one line a column does.
		reason, _, _ := strings.Cut(e.Message, "\n")
		reason = strings.TrimSuffix(reason, " (in container '')")
		if len(reason) > 300 {
			reason = strings.ToValidUTF8(reason[:300], "") + "…"
		}
		if strings.Contains(reason, "no matching overload") && strings.Contains(reason, "double") && strings.Contains(reason, "int") {
			reason += " (beside numbers with a fraction write 3.0, not 3)"
		}
		faults = append(faults, fault{max(e.Location.Line(), 1), fmt.Sprintf("column %d: %s", e.Location.Column()+1, reason)})
	}
	return faults
}

// sizes tells CEL how large what a condition names can be.
type sizes struct{}

var _ cost.Estimator = sizes{}

// EstimateSize knows texts, findings and attributes.
func (sizes) EstimateSize(element cost.AstNode) *cost.SizeEstimate {
	path := element.Path()
	if len(path) == 0 {
		return nil
	}
	v := variablesByName[path[0]]
	if v == varNone {
		return &cost.SizeEstimate{Max: 256} // tenant and entity of a window; lists, which are asked as a whole
	}
	if len(path) == 1 {
		return &cost.SizeEstimate{Max: variables[v].most}
	}
	switch {
	case v == varAttributes && path[1] == "@keys":
		return &cost.SizeEstimate{Max: 256}
	case v == varAttributes:
		return &cost.SizeEstimate{Max: 16 << 10}
	}
	return &cost.SizeEstimate{Max: 64}
}

// EstimateCallCost leaves calls to the models.
func (sizes) EstimateCallCost(string, string, *cost.AstNode, []cost.AstNode) *cost.CallEstimate {
	return nil
}

// featuresOf returns what a condition on windows names, so that people can be shown the values.
func featuresOf(checked *ast.AST) []anomaly.WindowFeature {
	var features []anomaly.WindowFeature
	ast.PostOrderVisit(checked.Expr(), ast.NewExprVisitor(func(e ast.Expr) {
		if e.Kind() != ast.IdentKind {
			return
		}
		if n, ok := windowNames[e.AsIdent()]; ok && !slices.Contains(features, n.feature) {
			features = append(features, n.feature)
		}
	}))
	slices.Sort(features)
	return features
}
