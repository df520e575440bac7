package sample

// tenant is a company that uses agents.
type tenant struct {
	id     string
	domain string // of its users' addresses; empty: users have bare names
	// zones are the time zones of its offices, hours from UTC.
	zones []int
}

var tenants = []tenant{
	{"halvorsen-freight", "", []int{1, 1, -5, 8}},
	{"oakline-insurance", "oakline.example", []int{-6, -6, -5, 0}},
	{"brightwater-energy", "", []int{0, 1, 2}},
	{"tessel-software", "tessel.example", []int{-8, -8, 1, 5}},
	{"lumen-dental", "lumen.example", []int{9, 10, 10}},
	{"quarrystone-bank", "quarrystone.example", []int{1, -5, 8}},
	{"merrow-foods", "merrow-foods.example", []int{-3, -3, 0}},
	{"solveig-retail", "", []int{1, 2, 3}},
}

var firstNames = []string{
	"mara", "tobias", "ines", "kofi", "linnea", "rohan", "amelie", "darius", "yuki", "petra", "samuel", "noor", "elias", "chiara",
	"bastian", "zola", "henrik", "leila", "marcus", "aiko", "jonas", "priya", "oscar", "freya", "mateo", "signe", "viktor", "amara",
	"felix", "nadia", "emeka", "clara", "soren", "talia", "hugo", "mina", "anders", "renata", "idris", "greta", "pavel", "livia",
	"arjun", "edda", "tomas", "sanna", "rafael", "odile",
}

var lastNames = []string{
	"okafor", "lindqvist", "moreau", "tanaka", "brandt", "castellan", "iyer", "novak", "sorensen", "haddad", "whitlock", "ferreira",
	"kowalski", "achterberg", "mbeki", "rautio", "delacroix", "yamada", "petrov", "ashdown", "bergstrom", "oduya", "valentini", "kessler",
	"nakamura", "thorsen", "almeida", "renner", "choudhury", "falk", "grimaldi", "hollis", "jansson", "kimura", "lachance", "marchetti",
	"nyberg", "osei", "pellegrin", "quint", "rosales", "stavros", "tidwell", "ueda", "vandermeer", "wickham", "yilmaz", "zeller",
}

var companies = []string{
	"Arden Valve Works", "Bluefin Logistics", "Calder & Stroud", "Dovecote Media", "Everly Plastics", "Fennmark Tools", "Greyfriars Hotels",
	"Hartwell Optics", "Inverness Yarns", "Juniper Cold Storage", "Kestrel Robotics", "Larkspur Clinics", "Marlow Timber", "Nettlefold Bikes",
	"Orchard Hill Foods", "Pemberly Glass",
}

var products = []string{
	"standing desk", "noise-cancelling headset", "thermal label printer", "espresso grinder", "solar inverter", "label maker",
	"monitor arm", "cordless drill", "air purifier", "security camera",
}

var cities = []string{
	"Rotterdam", "Aarhus", "Porto", "Leeds", "Denver", "Osaka", "Lyon", "Tampere", "Graz", "Halifax", "Bergen", "Valencia",
}

var userAgents = []string{
	"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/142.0 Safari/537.36",
	"Mozilla/5.0 (Macintosh; Intel Mac OS X 15_6) AppleWebKit/605.1.15 Version/19.0 Safari/605.1.15",
	"Mozilla/5.0 (X11; Linux x86_64; rv:144.0) Gecko/20100101 Firefox/144.0",
	"agent-desktop/4.12.1",
}
