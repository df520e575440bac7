package chain

// Times in entries are RFC 3339 in UTC with a fixed number of digits, so that they sort as text and have one form: sealed to the microsecond,
// src.time to the millisecond (Kafka's unit). Leap seconds do not occur in Unix time and are refused.

const (
	secondsPerDay = 24 * 60 * 60
	// minSeconds and maxSeconds are the first second of the year 0000 and the last one of 9999, the range of RFC 3339.
	minSeconds = -719528 * secondsPerDay
	maxSeconds = 2932897*secondsPerDay - 1
)

// ClampMillis returns the Unix time in milliseconds that an entry can express and that is nearest to millis: a Kafka record may claim any int64,
// RFC 3339 ends with the year 9999.
func ClampMillis(millis int64) int64 {
	return min(max(millis, minSeconds*1000), maxSeconds*1000+999)
}

func clampMicros(micros int64) int64 {
	return min(max(micros, minSeconds*1_000_000), maxSeconds*1_000_000+999_999)
}

func appendMicros(dst []byte, micros int64) []byte {
	seconds, fraction := floorDiv(clampMicros(micros), 1_000_000)
	dst = appendSeconds(dst, seconds)
	return append(dst, '.', digit(fraction/100_000), digit(fraction/10_000), digit(fraction/1000), digit(fraction/100), digit(fraction/10), digit(fraction), 'Z')
}

func appendMillis(dst []byte, millis int64) []byte {
	seconds, fraction := floorDiv(ClampMillis(millis), 1000)
	dst = appendSeconds(dst, seconds)
	return append(dst, '.', digit(fraction/100), digit(fraction/10), digit(fraction), 'Z')
}

func appendSeconds(dst []byte, seconds int64) []byte {
	days, rest := floorDiv(seconds, secondsPerDay)
	y, m, d := dateOf(days)
	h, min, s := rest/3600, rest/60%60, rest%60
	return append(dst,
		digit(y/1000), digit(y/100), digit(y/10), digit(y), '-', digit(m/10), digit(m), '-', digit(d/10), digit(d), 'T',
		digit(h/10), digit(h), ':', digit(min/10), digit(min), ':', digit(s/10), digit(s))
}

// digit returns the last decimal digit of n, which is not negative.
func digit(n int64) byte { return '0' + byte(uint64(n)%10) }

func floorDiv(n, by int64) (quotient, rest int64) {
	quotient, rest = n/by, n%by
	if rest < 0 {
		return quotient - 1, rest + by
	}
	return quotient, rest
}

const (
	microsBytes = len("2006-01-02T15:04:05.000000Z")
	millisBytes = len("2006-01-02T15:04:05.000Z")
)

func parseMicros(b []byte) (int64, bool) {
	if len(b) != microsBytes || b[19] != '.' || b[26] != 'Z' {
		return 0, false
	}
	seconds, ok := parseSeconds(b)
	fraction := two(b, 20)*10_000 + two(b, 22)*100 + two(b, 24)
	return seconds*1_000_000 + fraction, ok && fraction < noDigit
}

func parseMillis(b []byte) (int64, bool) {
	if len(b) != millisBytes || b[19] != '.' || b[23] != 'Z' {
		return 0, false
	}
	seconds, ok := parseSeconds(b)
	fraction := two(b, 20)*10 + int64(decimals[b[22]])
	return seconds*1000 + fraction, ok && fraction < noDigit
}

// parseSeconds reads the first 19 bytes of b, `2006-01-02T15:04:05`.
func parseSeconds(b []byte) (int64, bool) {
	b = b[:19]
	if b[4] != '-' || b[7] != '-' || b[10] != 'T' || b[13] != ':' || b[16] != ':' {
		return 0, false
	}
	y, m, d := two(b, 0)*100+two(b, 2), two(b, 5), two(b, 8)
	h, min, s := two(b, 11), two(b, 14), two(b, 17)
	if y >= noDigit || m < 1 || m > 12 || d < 1 || d > 28 && d > daysIn(y, m) || h > 23 || min > 59 || s > 59 {
		return 0, false
	}
	return daysTo(y, m, d)*secondsPerDay + h*3600 + min*60 + s, true
}

// two reads two digits. If one of them is none, the result, and what it is added to, is noDigit or more.
func two(b []byte, at int) int64 {
	return int64(decimals[b[at]])*10 + int64(decimals[b[at+1]])
}

// noDigit is above all numbers of digits that are read here.
const noDigit = 1 << 20

// decimals holds the value of each digit and noDigit for every other byte.
var decimals = func() (table [256]int32) {
	for i := range table {
		table[i] = noDigit
	}
	for value := range int32(10) {
		table['0'+value] = value
	}
	return table
}()

func daysIn(year, month int64) int64 {
	switch month {
	case 4, 6, 9, 11:
		return 30
	case 2:
		if year%4 == 0 && (year%100 != 0 || year%400 == 0) {
			return 29
		}
		return 28
	}
	return 31
}

// dateOf and daysTo convert between a date and the days since 1970-01-01. They count years from the first of March, so that the leap day is the
// last of its year, in eras of 400 years = 146,097 days (Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms"). time.Time does the same
// at five times the cost, which would be a quarter of what writing or parsing a header takes.
func dateOf(days int64) (year, month, day int64) {
	era, dayOfEra := floorDiv(days+719468, 146097)
	yearOfEra := (dayOfEra - dayOfEra/1460 + dayOfEra/36524 - dayOfEra/146096) / 365
	dayOfYear := dayOfEra - (365*yearOfEra + yearOfEra/4 - yearOfEra/100)
	marchMonth := (5*dayOfYear + 2) / 153
	day = dayOfYear - (153*marchMonth+2)/5 + 1
	year = yearOfEra + era*400
	if marchMonth < 10 {
		return year, marchMonth + 3, day
	}
	return year + 1, marchMonth - 9, day
}

func daysTo(year, month, day int64) int64 {
	if month <= 2 {
		year--
		month += 12
	}
	era, yearOfEra := floorDiv(year, 400)
	dayOfYear := (153*(month-3)+2)/5 + day - 1
	return era*146097 + yearOfEra*365 + yearOfEra/4 - yearOfEra/100 + dayOfYear - 719468
}
