package rules

import (
	"cel.dev/cel-go/cel"

	"github.com/agentaudit/agentaudit/pkg/anomaly"
	"github.com/agentaudit/agentaudit/pkg/events"
	"github.com/agentaudit/agentaudit/pkg/scan"
)

// variable is a name that conditions on events may use.
type variable uint8

// Texts first, then numbers, then what is true or false; the order is used by kindOf.
const (
	varNone variable = iota

	varType
	varAction
	varOutcome
	varTenant
	varAgentID
	varAgentName
	varAgentVersion
	varTool
	varModel
	varProvider
	varResourceType
	varResourceID
	varErrorType
	varApprovalRisk
	varApprovalDecision
	varApprovalPolicy
	varSourceIP
	varProducer
	varLoop // the finding at hand, in findings.exists(f, …)

	varRows
	varInputTokens
	varOutputTokens
	varTokens
	varDuration
	varDataSubjects
	varThreat
	varHour
	varMinute
	varWeekday
	varFindingCount // size(findings)
	varCost

	varHasUser
	varApprovalGiven
	varApprovalBySelf

	varFindings
	varAttributes

	numVariables
)

// variableInfo is a row of the table below.
type variableInfo struct {
	name  string // "": no condition can write it
	of    *cel.Type
	field events.Field // of texts that stand in the record as they are
	most  uint64       // bytes or elements, for the worst case of a condition's cost
}

// variables is the one description of what conditions on events see. An absent text is "", an absent number 0, as in the columns.
var variables = [numVariables]variableInfo{
	varType:             {"event.type", cel.StringType, events.FieldType, 128},
	varAction:           {"action", cel.StringType, events.FieldAction, 256},
	varOutcome:          {"outcome", cel.StringType, events.FieldOutcome, 16},
	varTenant:           {"tenant", cel.StringType, events.FieldTenant, 128},
	varAgentID:          {"agent.id", cel.StringType, events.FieldAgentID, 256},
	varAgentName:        {"agent.name", cel.StringType, events.FieldAgentName, 256},
	varAgentVersion:     {"agent.version", cel.StringType, events.FieldAgentVersion, 256},
	varTool:             {"tool", cel.StringType, events.FieldToolName, 256},
	varModel:            {"model", cel.StringType, events.FieldModelName, 256},
	varProvider:         {"provider", cel.StringType, events.FieldModelProvider, 256},
	varResourceType:     {"resource.type", cel.StringType, events.FieldResourceType, 256},
	varResourceID:       {"resource.id", cel.StringType, events.FieldResourceID, 2048},
	varErrorType:        {"error.type", cel.StringType, events.FieldErrorType, 256},
	varApprovalRisk:     {"approval.risk", cel.StringType, events.FieldApprovalRisk, 64},
	varApprovalDecision: {"approval.decision", cel.StringType, events.FieldApprovalDecision, 64},
	varApprovalPolicy:   {"approval.policy", cel.StringType, events.FieldApprovalPolicy, 256},
	varSourceIP:         {"source.ip", cel.StringType, events.FieldSourceIP, 256},
	varProducer:         {"producer", cel.StringType, events.FieldProducerID, 256},

	varRows:         {"rows", cel.IntType, events.FieldRows, 1},
	varInputTokens:  {"input_tokens", cel.IntType, events.FieldInputTokens, 1},
	varOutputTokens: {"output_tokens", cel.IntType, events.FieldOutputTokens, 1},
	varTokens:       {"tokens", cel.IntType, 0, 1},
	varDuration:     {"duration_ms", cel.IntType, events.FieldDurationMS, 1},
	varDataSubjects: {"data_subjects", cel.IntType, 0, 1},
	varThreat:       {"threat", cel.IntType, 0, 1},
	varHour:         {"time.hour", cel.IntType, 0, 1},
	varMinute:       {"time.minute", cel.IntType, 0, 1},
	varWeekday:      {"time.weekday", cel.IntType, 0, 1},
	varCost:         {"cost_usd", cel.DoubleType, 0, 1},

	varHasUser:        {"has_user", cel.BoolType, 0, 1},
	varApprovalGiven:  {"approval.given", cel.BoolType, 0, 1},
	varApprovalBySelf: {"approval.by_self", cel.BoolType, 0, 1},

	varFindings: {"findings", cel.ListType(cel.StringType), 0, maxFindings},
	// A pair takes at least six bytes: "":"",
	varAttributes: {"attributes", cel.MapType(cel.StringType, cel.StringType), 0, events.MaxAttributesBytes / 6},
}

// maxFindings are looked at; a text with more has shown what it is.
const maxFindings = 64

// threats are the constants that `threat` is compared with.
func threats() map[string]scan.Threat {
	return map[string]scan.Threat{"NONE": scan.None, "LOW": scan.Low, "MEDIUM": scan.Medium, "HIGH": scan.High, "CRITICAL": scan.Critical}
}

func (v variable) isText() bool   { return v >= varType && v <= varLoop }
func (v variable) isNumber() bool { return v >= varRows && v <= varCost }
func (v variable) isBool() bool   { return v >= varHasUser && v <= varApprovalBySelf }

var variablesByName = func() map[string]variable {
	names := make(map[string]variable, numVariables)
	for v, info := range variables {
		if info.name != "" {
			names[info.name] = variable(v)
		}
	}
	return names
}()

// windowName is what a name means in a condition on windows.
type windowName struct {
	feature anomaly.WindowFeature
	part    baselinePart
}

// baselinePart is which number of a baseline is meant.
type baselinePart uint8

const (
	inWindow baselinePart = iota // the window's own value
	baselineMean
	baselineStd
	baselineN
)

var windowNames = func() map[string]windowName {
	names := make(map[string]windowName)
	for f := range anomaly.NumWindowFeatures {
		names[f.String()] = windowName{f, inWindow}
		if f.HasBaseline() {
			names["baseline."+f.String()+".mean"] = windowName{f, baselineMean}
			names["baseline."+f.String()+".std"] = windowName{f, baselineStd}
			names["baseline."+f.String()+".n"] = windowName{f, baselineN}
		}
	}
	return names
}()
