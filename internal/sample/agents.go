package sample

// agent is one of the agents that the companies run, with what it does.
type agent struct {
	id, name, version string
	scenarios         []scenario
	// models are indexes into models, the usual one first.
	models []int
	// inputTokens and outputTokens are the medians of its model calls.
	inputTokens, outputTokens float64
	// share of sessions.
	share float64
}

// scenario is one kind of session. Texts hold facts of the session in braces; see facts.expand.
type scenario struct {
	ask     []string // what the user writes first
	actions []action // tools that are used, in order
	answer  []string // what the agent writes at the end
	further []string // what the user may ask then
	reply   []string
}

// action is a tool call and what belongs to it.
type action struct {
	tool     string
	resource string // type; empty: none
	id       string // of the resource
	input    string // JSON
	output   string // JSON
	millis   float64
	// rows of data that are read, at the median; 0: none.
	rows float64
	// customers: the data are about the session's customer.
	customers bool
	// risk of an action that must be approved; empty: none.
	risk, policy string
}

// model is a language model and its prices in USD per million tokens.
type model struct {
	provider, name string
	input, output  float64
	millisPerToken float64 // of output
}

var models = []model{
	{"openai", "gpt-5-mini", 0.25, 2, 6},
	{"anthropic", "claude-sonnet-4-5", 3, 15, 14},
	{"openai", "gpt-5", 1.25, 10, 16},
	{"mistral", "mistral-large-2", 2, 6, 12},
	{"google", "gemini-2.5-pro", 1.25, 10, 12},
	{"anthropic", "claude-opus-4-1", 15, 75, 22},
}

// Indexes that the code refers to.
const (
	supportAgent   = 0
	expensiveModel = 5
)

var agents = []agent{
	{
		id: "support-agent", name: "Support assistant", version: "3.4.1", models: []int{0, 3}, inputTokens: 1400, outputTokens: 180, share: 0.45,
		scenarios: []scenario{
			{
				ask: []string{
					"Hi, {customer} says order {order} has not arrived yet. Can you find out where it is?",
					"Customer {customer} is asking about order {order}, it should have come on Tuesday.",
					"Where is {order}? The customer is waiting on the phone.",
				},
				actions: []action{
					{tool: "crm_lookup", resource: "customer", id: "C-{number}", input: `{"email":"{mail}"}`, output: `{"id":"C-{number}","name":"{customer}","tier":"{tier}"}`, millis: 120, rows: 1, customers: true},
					{tool: "order_status", resource: "order", id: "{order}", input: `{"order":"{order}"}`, output: `{"status":"in transit","last_scan":"{city}","eta_days":{small}}`, millis: 210},
				},
				answer: []string{
					"The {product} was scanned in {city} yesterday and should arrive in {small} days. I can send {customer} the tracking link.",
					"Order {order} is on its way: last scan {city}, about {small} days to go. No action is needed.",
				},
				further: []string{"Thanks, please tell the customer.", "Can you check whether the address is right?"},
				reply:   []string{"Done: {customer} has been notified.", "The address on file is in {city}; it matches the order."},
			},
			{
				ask: []string{
					"{customer} wants a refund for the {product} in {order}, it came broken.",
					"Please refund {order}: the {product} is faulty, photos are attached to the ticket.",
				},
				actions: []action{
					{tool: "order_status", resource: "order", id: "{order}", input: `{"order":"{order}"}`, output: `{"status":"delivered","total_eur":{amount}}`, millis: 190},
					{tool: "refund_create", resource: "refund", id: "R-{number}", input: `{"order":"{order}","amount_eur":{amount},"reason":"defective"}`, output: `{"refund":"R-{number}","state":"booked"}`, millis: 340, risk: "medium", policy: "refunds-over-50"},
				},
				answer:  []string{"The refund of EUR {amount} for {order} is booked, {customer} gets it within {small} days.", "Refund R-{number} is created. A return label for the {product} goes out today."},
				further: []string{"Great. Does the customer have to send it back?"},
				reply:   []string{"Yes, with the label. We collect it at the door in {city}."},
			},
			{
				ask: []string{
					"How does the warranty on the {product} work if it was bought in {city}?",
					"Which firmware does the {product} need for the new app?",
				},
				actions: []action{
					{tool: "kb_search", resource: "article", id: "KB-{number}", input: `{"query":"{product} warranty","top":3}`, output: `[{"id":"KB-{number}","title":"Warranty and returns: {product}"}]`, millis: 95},
				},
				answer:  []string{"The warranty runs two years from delivery; article KB-{number} has the conditions.", "According to KB-{number} any {product} sold after March is covered. The receipt is enough."},
				further: []string{"And for business customers?"},
				reply:   []string{"Business customers have one year, unless the contract says otherwise."},
			},
		},
	},
	{
		id: "sales-research", name: "Sales researcher", version: "1.9.0", models: []int{1, 4}, inputTokens: 4200, outputTokens: 520, share: 0.2,
		scenarios: []scenario{
			{
				ask: []string{
					"Prepare me for the call with {company} tomorrow, please.",
					"What changed at {company} since our last meeting?",
				},
				actions: []action{
					{tool: "web_search", input: `{"q":"{company} news","days":30}`, output: `[{"title":"{company} opens a site in {city}","rank":1}]`, millis: 640},
					{tool: "crm_query", resource: "account", id: "A-{number}", input: `{"account":"{company}","include":["contacts","deals"]}`, output: `{"account":"A-{number}","open_deals":{small}}`, millis: 180, rows: 14},
				},
				answer:  []string{"{company} opened a site in {city} and is hiring for it. There are {small} open deals; the contact to ask for is {customer}.", "Three points for {company}: the new site in {city}, the renewal of A-{number}, and an open question from {customer}."},
				further: []string{"Draft a short mail to {customer} about the renewal.", "Put that into the CRM as a note."},
				reply:   []string{"Draft: Dear {customer}, your renewal is due in {small} weeks. Shall we talk on Thursday?", "The note is attached to A-{number}."},
			},
			{
				ask: []string{"Find ten companies like {company} near {city}."},
				actions: []action{
					{tool: "company_search", input: `{"like":"{company}","near":"{city}","limit":10}`, output: `{"hits":10,"first":"{company}"}`, millis: 820},
					{tool: "crm_query", resource: "account", id: "A-{number}", input: `{"city":"{city}"}`, output: `{"accounts":{small}}`, millis: 160, rows: 40},
				},
				answer:  []string{"Here are ten, sorted by size. {small} of them are in the CRM already, {company} is the largest.", "Ten found around {city}; I left out those that we contacted this quarter."},
				further: []string{"Export the list for my team."},
				reply:   []string{"The list is in your folder as prospects-{number}.csv."},
			},
		},
	},
	{
		id: "coding-agent", name: "Coding agent", version: "0.31.2", models: []int{1, 2}, inputTokens: 9000, outputTokens: 900, share: 0.25,
		scenarios: []scenario{
			{
				ask: []string{
					"The test TestInvoiceTotal{number} fails since this morning, please fix it.",
					"Add a retry with backoff to the {product} client, it times out now and then.",
				},
				actions: []action{
					{tool: "repo_search", resource: "repository", id: "billing", input: `{"repo":"billing","query":"func InvoiceTotal"}`, output: `{"files":{small},"first":"invoice/total.go"}`, millis: 150},
					{tool: "read_file", resource: "file", id: "billing/invoice/total.go", input: `{"path":"invoice/total.go"}`, output: `{"lines":{number}}`, millis: 35},
					{tool: "run_tests", resource: "repository", id: "billing", input: `{"packages":["./invoice/..."]}`, output: `{"passed":{number},"failed":0,"seconds":{small}}`, millis: 8200},
				},
				answer:  []string{"Fixed: the total was rounded before the discount. {number} tests pass; the change is in branch fix/total-{number}.", "The client now retries three times with jitter. Tests pass, see branch retry-{number}."},
				further: []string{"Please open a pull request.", "Can you add a test for the rounding?"},
				reply:   []string{"Pull request {number} is open and assigned to you.", "Added a table test with five cases; all pass."},
			},
			{
				ask: []string{"Bump the dependencies of the storefront and tell me what breaks."},
				actions: []action{
					{tool: "run_command", resource: "repository", id: "storefront", input: `{"cmd":"go get -u ./..."}`, output: `{"exit":0,"updated":{small}}`, millis: 5400},
					{tool: "run_tests", resource: "repository", id: "storefront", input: `{"packages":["./..."]}`, output: `{"passed":{number},"failed":{small}}`, millis: 21000},
					{tool: "deploy_preview", resource: "environment", id: "preview-{number}", input: `{"env":"preview-{number}"}`, output: `{"url":"https://preview-{number}.internal.example"}`, millis: 12000, risk: "low", policy: "deploy-preview"},
				},
				answer:  []string{"{small} modules were updated and {small} tests fail, all in the date parser. A preview runs as preview-{number}.", "Everything builds. The failing tests expect the old error text; shall I change them?"},
				further: []string{"Yes, please."},
				reply:   []string{"Changed, and all {number} tests pass now."},
			},
		},
	},
	{
		id: "finance-approvals", name: "Invoice clerk", version: "2.2.0", models: []int{2, 0}, inputTokens: 2600, outputTokens: 240, share: 0.1,
		scenarios: []scenario{
			{
				ask: []string{
					"Please check invoice {order} of {company} and schedule the payment.",
					"{company} sent a reminder for {order}. Is it due?",
				},
				actions: []action{
					{tool: "erp_invoice", resource: "invoice", id: "{order}", input: `{"invoice":"{order}"}`, output: `{"supplier":"{company}","total_eur":{amount},"due_days":{small}}`, millis: 260, rows: 6},
					{tool: "payment_schedule", resource: "payment", id: "P-{number}", input: `{"invoice":"{order}","amount_eur":{amount}}`, output: `{"payment":"P-{number}","state":"scheduled"}`, millis: 410, risk: "high", policy: "payments-two-eyes"},
				},
				answer:  []string{"{order} over EUR {amount} matches the purchase order. Payment P-{number} is scheduled in {small} days.", "Checked: amount and tax number are right, the payment to {company} goes out on the due date."},
				further: []string{"When did we pay them last?"},
				reply:   []string{"{small} weeks ago, EUR {amount}, for the site in {city}."},
			},
			{
				ask: []string{"Reconcile the travel expenses of {customer} for last month."},
				actions: []action{
					{tool: "expense_report", resource: "report", id: "E-{number}", input: `{"employee":"{mail}","month":"last"}`, output: `{"items":{number},"sum_eur":{amount}}`, millis: 380, rows: 25, customers: true},
				},
				answer:  []string{"{small} receipts are missing, the rest adds up to EUR {amount}. I have asked {customer} for them.", "Everything matches. E-{number} is ready for approval."},
				further: []string{"Approve it then."},
				reply:   []string{"E-{number} is approved and goes into the next payroll."},
			},
		},
	},
}
