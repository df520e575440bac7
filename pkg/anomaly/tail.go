package anomaly

import (
	"encoding/binary"
	"fmt"
	"math"

	"gonum.org/v1/gonum/stat/distuv"
)

const (
	// tailBins are log-spaced, binsPerOctave of them an octave, with tailOne beginning at 1: from 2⁻¹⁰ to 2¹⁰ standard deviations. What is smaller or larger
	// counts in the first or last.
	tailBins      = 80
	binsPerOctave = 4
	tailOne       = 40
	// tailPrior is how many blocks a Tail believes to have seen before the first, all normal. It is what keeps a young series calm: after few blocks nothing
	// is known about its tail.
	tailPrior = 40
	// Beyond the highest paretoShare of the blocks, or the highest paretoLeast of them, the tail is taken as a Pareto tail with Hill's estimate of its exponent
	// (Hill, A simple general approach to inference about the tail of a distribution, 1975), within the bounds: few exceedances estimate badly.
	paretoShare = 0.02
	paretoLeast = 5
	// paretoLeastOwn is paretoLeast where a Series keeps a Tail for itself: of the few blocks it has, the five highest are mostly usual ones.
	paretoLeastOwn = 3
	paretoLightly  = 6
	paretoHeavily  = 2
	// tailFull is the count, in half blocks, at which all counts of a Tail are halved. Distant times then weigh less, and counts never overflow.
	tailFull = 1 << 24
	// MaxSurprise bounds surprises: 1 in 10⁹ and what is rarer are the same to people.
	MaxSurprise = 9
)

// Tail is the survival function of the maxima of blocks of values: how often a block of normal times holds something as large. Blocks, instead of single
// values, because values that follow each other are alike and an excursion lasts for many: it counts once. Block maxima are also what extreme value
// theory describes (Coles, An Introduction to Statistical Modeling of Extreme Values, 2001, chapter 3).
//
// A block adds one count whatever its maximum, so that nobody can lift a tail by the size of an excursion, only by its repetition. One Tail may be shared by
// many entities whose values are standardised. It is 324 bytes; the zero value knows nothing but its prior. It is not safe for concurrent use.
type Tail struct {
	learned [tailBins]uint32 // half blocks by bin of their maximum
	total   uint32           // half blocks; those without a positive value are in no bin
}

// normalMass is what of the absolute value of a normal variable falls into each bin and above: P(|Z| ≥ lower edge of the bin).
var normalMass = normalSurvival()

func normalSurvival() (survival [tailBins + 1]float64) {
	survival[0] = 1
	for bin := 1; bin < tailBins; bin++ {
		survival[bin] = 2 * distuv.UnitNormal.Survival(math.Exp2(float64(bin-tailOne)/binsPerOctave))
	}
	return survival
}

// tailPlace returns the bin of a and where in it a is, 0 to 1.
func tailPlace(a float64) (bin int, within float64) {
	if a <= 0 {
		return 0, 0
	}
	place := binsPerOctave*math.Log2(a) + tailOne
	switch {
	case place < 1:
		return 0, 0
	case place >= tailBins:
		return tailBins - 1, 1
	}
	return int(place), place - math.Floor(place)
}

// LearnHalf takes in the maximum of a block as half a block, for those who have two overlapping runs of blocks, as Maxima does. Maxima of 0 and less say
// that the block had no deviation in this direction.
func (t *Tail) LearnHalf(maximum float64) {
	if t.total >= tailFull {
		t.total = 0
		for i := range t.learned {
			t.learned[i] /= 2
			t.total += t.learned[i]
		}
	}
	t.total++
	if maximum > 0 {
		bin, _ := tailPlace(maximum)
		t.learned[bin]++
	}
}

// Blocks is how many blocks were learned.
func (t *Tail) Blocks() float64 { return float64(t.total) / 2 }

// Surprise is −log10 of the probability that the maximum of a block is a or more: 0 is usual, 1 is a block in ten, at most MaxSurprise. It does not fall as a
// rises, apart from the seam between the counted part and the Pareto tail.
func (t *Tail) Surprise(a float64) float64 { return t.surpriseBeyond(a, paretoLeast) }

// surpriseBeyond is Surprise with a Pareto tail that begins where at least so many blocks are as high.
func (t *Tail) surpriseBeyond(a, highest float64) float64 {
	if !(a > 0) {
		return 0
	}
	all := tailPrior + t.Blocks()
	bin, within := tailPlace(a)

	// From the top down to the bin where the Pareto tail begins; excess becomes the sum over its blocks of ln(maximum/threshold), in quarter octaves.
	least := max(paretoShare*all, highest)
	counted, above, excess, begin := 0.0, 0.0, 0.0, tailBins-1
	for ; begin > 0; begin-- {
		excess += above
		counted += float64(t.learned[begin]) / 2
		above = counted + tailPrior*normalMass[begin]
		if above >= least {
			break
		}
	}
	if bin < begin {
		inBin := 0.0
		for i := begin - 1; i >= bin; i-- {
			inBin = float64(t.learned[i]) / 2
			counted += inBin
		}
		inBin += tailPrior * (normalMass[bin] - normalMass[bin+1])
		return surprise((counted + tailPrior*normalMass[bin] - within*inBin) / all)
	}
	const binWidth = math.Ln2 / binsPerOctave
	exponent := (above + 1) / ((excess+above/2)*binWidth + 0.5)
	exponent = min(max(exponent, paretoHeavily), paretoLightly)
	distance := (binsPerOctave*math.Log2(min(a, MaxDeviation)) + tailOne - float64(begin)) * binWidth / math.Ln10
	return min(surprise(above/all)+exponent*distance, MaxSurprise)
}

// surpriseOfCounted is the most that a can surprise when only what was counted speaks, and not the Pareto tail: −log10 of the share of blocks, those of the
// prior included, whose maximum was as large, within a quarter octave. It is MaxSurprise when there was none. What has been seen k times in n blocks is no
// rarer than that, however far beyond the rest it lies.
func (t *Tail) surpriseOfCounted(a float64) float64 {
	if !(a > 0) {
		return 0
	}
	bin, _ := tailPlace(a)
	counted := 0.0
	for _, half := range t.learned[bin:] {
		counted += float64(half) / 2
	}
	return surprise(counted / (tailPrior + t.Blocks()))
}

// surprise is −log10 p, within its bounds.
func surprise(p float64) float64 {
	if p >= 1 {
		return 0
	}
	return min(-math.Log10(max(p, 1e-300)), MaxSurprise)
}

// Append adds the encoded state to dst: the total, then for each bin that is not empty its distance from the last one and its count, then 0; all as uvarints.
func (t *Tail) Append(dst []byte) []byte {
	dst = binary.AppendUvarint(dst, uint64(t.total))
	last := -1
	for bin, count := range t.learned {
		if count > 0 {
			dst = binary.AppendUvarint(dst, uint64(bin-last))
			dst = binary.AppendUvarint(dst, uint64(count))
			last = bin
		}
	}
	return append(dst, 0)
}

// ParseTail reads what Append has written and returns what follows it.
func ParseTail(src []byte) (Tail, []byte, error) {
	var t Tail
	total, src, err := uvarint(src, tailFull)
	if err != nil {
		return Tail{}, nil, fmt.Errorf("total of a tail: %w", err)
	}
	t.total = uint32(total)
	sum := uint64(0)
	for bin := -1; ; {
		step, rest, err := uvarint(src, uint64(tailBins-1-bin))
		if err != nil {
			return Tail{}, nil, fmt.Errorf("bin of a tail: %w", err)
		}
		if src = rest; step == 0 {
			break
		}
		bin += int(step)
		count, rest, err := uvarint(src, total)
		if err != nil || count == 0 {
			return Tail{}, nil, fmt.Errorf("count of bin %d of a tail: %w", bin, err)
		}
		src = rest
		t.learned[bin] = uint32(count)
		sum += count
	}
	if sum > total {
		return Tail{}, nil, fmt.Errorf("a tail of %d half blocks holds %d", total, sum)
	}
	return t, src, nil
}

// uvarint reads a number that is at most limit, in the only encoding that Append makes of it.
func uvarint(src []byte, limit uint64) (uint64, []byte, error) {
	x, size := binary.Uvarint(src)
	switch {
	case size <= 0:
		return 0, nil, fmt.Errorf("cut off or too long")
	case x > limit:
		return 0, nil, fmt.Errorf("%d, at most %d expected", x, limit)
	case size > 1 && src[size-1] == 0:
		return 0, nil, fmt.Errorf("%d in a longer form than it needs", x)
	}
	return x, src[size:], nil
}
