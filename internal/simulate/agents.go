package simulate

// agent is one of the agents that users work with.
type agent struct {
	name  string
	tools []tool
	// Models are the usual one and the dearer one.
	models        [2]int
	input, output float64 // tokens of a model call, median
}

type tool struct {
	name, resource string
	rows, millis   float64 // medians; rows 0: none
	share          float64
}

type model struct {
	provider, name string
	input, output  float64 // micro-USD a token
}

var models = []model{
	{"openai", "gpt-5-mini", 0.25, 2},
	{"anthropic", "claude-sonnet-4-5", 3, 15},
	{"openai", "gpt-5", 1.25, 10},
	{"anthropic", "claude-opus-4-1", 15, 75},
}

const dearest = 3

var agents = []agent{
	{"support-agent", []tool{
		{"crm_lookup", "customer", 2, 150, 4}, {"order_status", "order", 1, 200, 4}, {"refund_create", "refund", 0, 350, 1}, {"send_email", "message", 0, 120, 1},
		{"kb_search", "article", 5, 90, 3},
	}, [2]int{0, 1}, 1400, 180},
	{"sales-research", []tool{
		{"web_search", "", 0, 700, 4}, {"crm_query", "account", 20, 200, 4}, {"company_search", "company", 10, 800, 2}, {"send_email", "message", 0, 120, 0.7},
	}, [2]int{1, 2}, 4200, 520},
	{"coding-agent", []tool{
		{"repo_search", "repository", 8, 150, 4}, {"read_file", "file", 0, 40, 8}, {"write_file", "file", 0, 50, 3}, {"run_tests", "repository", 0, 9000, 2}, {"git_push", "repository", 0, 900, 0.5},
	}, [2]int{1, 3}, 9000, 900},
	{"finance-clerk", []tool{
		{"erp_invoice", "invoice", 6, 260, 4}, {"payment_schedule", "payment", 0, 400, 1}, {"expense_report", "report", 25, 380, 2},
	}, [2]int{2, 1}, 2600, 240},
	{"data-analyst", []tool{
		{"sql_query", "table", 120, 1200, 5}, {"chart_render", "chart", 0, 300, 2}, {"report_export", "report", 80, 500, 0.5},
	}, [2]int{2, 1}, 3500, 400},
	{"hr-assistant", []tool{
		{"hr_lookup", "employee", 3, 180, 3}, {"leave_request", "leave", 0, 220, 1}, {"policy_search", "policy", 4, 90, 3},
	}, [2]int{0, 2}, 1200, 200},
}
