package scan

// luhn checks the last digit (ISO/IEC 7812-1, annex B).
func luhn(digits []byte) bool {
	sum := 0
	for i, b := range digits {
		d := int(b - '0')
		if (len(digits)-i)%2 == 0 {
			if d *= 2; d > 9 {
				d -= 9
			}
		}
		sum += d
	}
	return sum%10 == 0
}

// card says whether the digits are a payment card's: a known issuer, its length, the check digit, and no unusual grouping.
func (u *numeral) card() bool {
	if u.n > len(u.digits) || u.count > 1 && !u.only(4, 4, 4, 4) && !u.only(4, 6, 5) && !u.only(4, 6, 4) && !u.only(4, 4, 4, 4, 3) && !u.only(4, 4, 4, 1) && !u.only(4, 4, 5) {
		return false
	}
	if u.has('.') || u.has('/') || u.has('(') {
		return false
	}
	d := u.digits[:u.n]
	prefix := func(n int) int {
		v := 0
		for _, b := range d[:n] {
			v = v*10 + int(b-'0')
		}
		return v
	}
	two, three, four := prefix(2), prefix(3), prefix(4)
	ok := false
	switch {
	case d[0] == '4':
		ok = u.n == 13 || u.n == 16 || u.n == 19
	case two >= 51 && two <= 55 || four >= 2221 && four <= 2720:
		ok = u.n == 16
	case two == 34 || two == 37:
		ok = u.n == 15
	case two == 36 || two == 38 || three >= 300 && three <= 305:
		ok = u.n == 14 || u.n == 16
	case four == 6011 || two == 65 || three >= 644 && three <= 649 || two == 62:
		ok = u.n >= 16
	case two == 35:
		ok = u.n == 16
	case four == 2131 || four == 1800:
		ok = u.n == 15
	case two == 50 || two >= 56 && two <= 58 || two == 60 || two == 61 || two == 63 || two == 64 || two >= 66 && two <= 69:
		ok = u.n >= 12
	}
	return ok && luhn(d)
}

// ssn checks what can be checked of a number of the United States' Social Security: the ranges that are never given out.
func ssn(d []byte) bool {
	area, group, serial := string(d[:3]), string(d[3:5]), string(d[5:])
	return area != "000" && area != "666" && area[0] != '9' && group != "00" && serial != "0000"
}

// ibanLengths is the length by country (ISO 13616 registry).
const ibanLengths = "AD24AE23AL28AT20AZ28BA20BE16BG22BH22BR29BY28CH21CR22CY28CZ24DE22DK18DO28EE20EG29ES24FI18FO18FR27GB22GE22GI23GL18GR27GT28HR21HU28IE22IL23IQ23IS26IT27JO30" +
	"KW30KZ20LB28LC32LI21LT20LU20LV21MC27MD24ME22MK19MR27MT31MU30NL18NO15PK24PL28PS29PT25QA29RO24RS22SA24SC31SE24SI19SK24SM27ST25SV28TN24TR26UA29VA22VG24XK20"

// iban finds an account number (ISO 13616) that begins at start, with blanks between groups of four or without: country, length and the checksum of ISO 7064 (mod 97-10).
func iban(text []byte, start int) (from, to int, ok bool) {
	if start+15 > len(text) || !letter(text[start]) || !letter(text[start+1]) || !digit(text[start+2]) || !digit(text[start+3]) {
		return 0, 0, false
	}
	want := 0
	for i := 0; i < len(ibanLengths); i += 4 {
		if ibanLengths[i] == text[start]&^0x20 && ibanLengths[i+1] == text[start+1]&^0x20 {
			want = int(ibanLengths[i+2]-'0')*10 + int(ibanLengths[i+3]-'0')
		}
	}
	var b [34]byte
	n, i := 0, start
	for i < len(text) && n < want {
		switch c := text[i]; {
		case alnum(c):
			if c >= 'a' {
				c &^= 0x20
			}
			b[n] = c
			n++
		case (c == ' ' || c == '-') && n%4 == 0 && i > start:
		default:
			return 0, 0, false
		}
		i++
	}
	if want == 0 || n != want || i < len(text) && alnum(text[i]) {
		return 0, 0, false
	}
	rest := 0
	for k := range n {
		c := b[(k+4)%n]
		if digit(c) {
			rest = (rest*10 + int(c-'0')) % 97
		} else {
			rest = (rest*100 + int(c-'A') + 10) % 97
		}
	}
	return start, i, rest == 1
}

func weighted(digits []byte, weights ...int) int {
	sum := 0
	for i, w := range weights {
		sum += w * int(digits[i]-'0')
	}
	return sum
}

func number2(d []byte) int { return int(d[0]-'0')*10 + int(d[1]-'0') }

func monthDay(month, day int) bool { return month >= 1 && month <= 12 && day >= 1 && day <= 31 }

// national says whether the digits are a person's number of one of these countries: China, Brazil, India, France, Sweden by form and checksum, Poland, the Netherlands and Canada
// if a word before them says so too, since their checksums alone let one number in ten pass.
func (u *numeral) national(said bool) bool {
	d := u.digits[:min(u.n, len(u.digits))]
	one := u.count == 1
	switch {
	case one && u.n == 18: // GB 11643; the X that may stand last is left out
		return monthDay(number2(d[10:]), number2(d[12:])) && (number2(d[6:]) == 19 || number2(d[6:]) == 20) &&
			(12-weighted(d, 7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)%11)%11 == int(d[17]-'0')
	case u.only(3, 3, 3, 2) && u.has('.') && u.has('-') || one && u.n == 11 && said && cpf(d):
		return cpf(d)
	case u.only(4, 4, 4) && d[0] >= '2' && (said || u.has(' ')):
		return verhoeff(d)
	case u.n == 15 && (d[0] == '1' || d[0] == '2') && (one && said || u.only(1, 2, 2, 2, 3, 3, 2)):
		v := 0
		for _, b := range d[:13] {
			v = (v*10 + int(b-'0')) % 97
		}
		return 97-v == number2(d[13:])
	case u.only(6, 4) && u.has('-') || u.only(8, 4) && u.has('-'):
		tail := d[u.n-10:]
		return monthDay(number2(tail[2:]), number2(tail[4:])) && luhn(tail)
	case one && u.n == 11 && said:
		return (weighted(d, 1, 3, 7, 9, 1, 3, 7, 9, 1, 3)+int(d[10]-'0'))%10 == 0 && number2(d[4:]) >= 1 && number2(d[4:]) <= 31
	case u.n == 9 && said && one:
		return weighted(d, 9, 8, 7, 6, 5, 4, 3, 2, -1)%11 == 0 || luhn(d)
	case u.only(3, 3, 3) && said:
		return luhn(d)
	}
	return false
}

func cpf(d []byte) bool {
	same := true
	for _, b := range d {
		same = same && b == d[0]
	}
	first := weighted(d, 10, 9, 8, 7, 6, 5, 4, 3, 2) * 10 % 11 % 10
	second := weighted(d, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2) * 10 % 11 % 10
	return !same && first == int(d[9]-'0') && second == int(d[10]-'0')
}

// verhoeff checks the last digit by the dihedral group of order ten (Verhoeff, 1969).
func verhoeff(digits []byte) bool {
	permute := [8][10]uint8{}
	permute[0] = [10]uint8{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}
	permute[1] = [10]uint8{1, 5, 7, 6, 2, 8, 3, 0, 9, 4}
	for i := 2; i < 8; i++ {
		for j := range permute[i] {
			permute[i][j] = permute[i-1][permute[1][j]]
		}
	}
	c := 0
	for i := range digits {
		c = dihedral(c, int(permute[i%8][digits[len(digits)-1-i]-'0']))
	}
	return c == 0
}

// dihedral multiplies in the dihedral group of a pentagon: 0 to 4 are rotations, 5 to 9 reflections.
func dihedral(a, b int) int {
	switch {
	case a < 5 && b < 5:
		return (a + b) % 5
	case a < 5:
		return 5 + (a+b-5)%5
	case b < 5:
		return 5 + (a-5-b+5)%5
	}
	return (a - b + 5) % 5
}

const (
	dniLetters = "TRWAGMYFPDXBNJZSQVHLCKE"
	fiscalOdd  = "\x01\x00\x05\x07\x09\x0d\x0f\x11\x13\x15\x02\x04\x12\x14\x0b\x03\x06\x08\x0c\x0e\x10\x0a\x16\x19\x18\x17"
)

// nationalLetters says whether a word with letters is a person's number: Spain (DNI, NIE), Italy (codice fiscale), each with its check letter, or the United Kingdom (national
// insurance), which has none.
func nationalLetters(w []byte) bool {
	upper := func(b byte) byte {
		if b >= 'a' {
			return b &^ 0x20
		}
		return b
	}
	switch len(w) {
	case 9:
		var first byte
		if i := indexByte("XYZ", upper(w[0])); i >= 0 {
			first = '0' + byte(i)
		} else if digit(w[0]) {
			first = w[0]
		} else {
			return insuranceNumber(w)
		}
		v := int(first - '0')
		for _, b := range w[1:8] {
			if !digit(b) {
				return false
			}
			v = v*10 + int(b-'0')
		}
		return dniLetters[v%23] == upper(w[8])
	case 16:
		const shape = "LLLLLLDDLDDLDDDL"
		sum := 0
		for i, b := range w {
			b = upper(b)
			if (shape[i] == 'D') != digit(b) {
				return false
			}
			v := int(b - '0')
			if !digit(b) {
				v = int(b - 'A')
			}
			if v < 0 || v > 25 {
				return false
			}
			if i == 15 {
				return sum%26 == v
			}
			if i%2 == 0 {
				v = int(fiscalOdd[v])
			}
			sum += v
		}
	}
	return false
}

// insuranceNumber checks the form of a national insurance number: two letters, six digits, A to D.
func insuranceNumber(w []byte) bool {
	for i, b := range w {
		if (i >= 2 && i < 8) != digit(b) || b >= 'a' {
			return false
		}
	}
	return w[8] >= 'A' && w[8] <= 'D' && indexByte("DFIQUV", w[0]) < 0 && indexByte("DFIQUVO", w[1]) < 0
}

func indexByte(s string, b byte) int {
	for i := range len(s) {
		if s[i] == b {
			return i
		}
	}
	return -1
}
