package rules

import (
	"slices"

	"cel.dev/cel-go/common/ast"
)

// featuresOf returns what a condition on windows names, so that people can be shown the values.
func featuresOf(checked *ast.AST) []Feature {
	var features []Feature
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
