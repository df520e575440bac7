package anomaly

import "math"

// Weighted is a surprise and what it is worth beside the others.
type Weighted struct{ Surprise, Weight float64 }

// Fuse makes one surprise of several views of the same thing: their norm of power 4. It is hardly more than the largest of them, since views of one thing
// depend on each other and adding −log p up, as Fisher's method does, would count the same evidence twice; several that are nearly as large add a little.
func Fuse(views ...Weighted) float64 {
	sum := 0.0
	for _, v := range views {
		s := v.Weight * max(v.Surprise, 0)
		sum += s * s * s * s
	}
	return math.Sqrt(math.Sqrt(sum))
}
