package sample

import (
	"math/rand/v2"
	"strconv"
	"strings"
)

// facts are what the texts of a session speak of.
type facts struct {
	customer, mail string
	company        string
	product        string
	city           string
	tier           string
	order          string
	number, small  int
	cents          int
}

func newFacts(rng *rand.Rand) facts {
	first, last := pick(rng, firstNames), pick(rng, lastNames)
	return facts{
		customer: capital(first) + " " + capital(last),
		mail:     first + "." + last + "@mail.example",
		company:  pick(rng, companies),
		product:  pick(rng, products),
		city:     pick(rng, cities),
		tier:     pick(rng, []string{"standard", "standard", "plus", "business"}),
		order:    "SO-" + strconv.Itoa(40_000+rng.IntN(50_000)),
		number:   100 + rng.IntN(9900),
		small:    2 + rng.IntN(8),
		cents:    900 + rng.IntN(180_000),
	}
}

// expand appends a template with its braces filled in. Braces that name no fact
// stay: templates may be JSON. No fact needs escaping in a JSON string.
func (f *facts) expand(dst []byte, template string) []byte {
	for {
		open := strings.IndexByte(template, '{')
		if open < 0 {
			return append(dst, template...)
		}
		dst = append(dst, template[:open]...)
		template = template[open:]
		end := strings.IndexByte(template, '}')
		filled := end > 0
		if filled {
			dst, filled = f.append(dst, template[1:end])
		}
		if filled {
			template = template[end+1:]
		} else {
			dst = append(dst, '{')
			template = template[1:]
		}
	}
}

// append appends the fact of a name.
func (f *facts) append(dst []byte, name string) ([]byte, bool) {
	switch name {
	case "customer":
		return append(dst, f.customer...), true
	case "mail":
		return append(dst, f.mail...), true
	case "company":
		return append(dst, f.company...), true
	case "product":
		return append(dst, f.product...), true
	case "city":
		return append(dst, f.city...), true
	case "tier":
		return append(dst, f.tier...), true
	case "order":
		return append(dst, f.order...), true
	case "number":
		return strconv.AppendInt(dst, int64(f.number), 10), true
	case "small":
		return strconv.AppendInt(dst, int64(f.small), 10), true
	case "amount":
		dst = strconv.AppendInt(dst, int64(f.cents/100), 10)
		return append(dst, '.', byte('0'+f.cents/10%10), byte('0'+f.cents%10)), true
	}
	return dst, false
}

func pick[T any](rng *rand.Rand, from []T) T { return from[rng.IntN(len(from))] }

func capital(name string) string { return strings.ToUpper(name[:1]) + name[1:] }
