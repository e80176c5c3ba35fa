package workload

import (
	"math"
	"math/rand/v2"
)

// Theta is the skew of the Zipfian choice, the constant of YCSB.
const Theta = 0.99

// A Zipf chooses ranks 0 to n-1 so that rank k is chosen in proportion to 1/(k+1)^Theta. The method is that of Gray
// et al., "Quickly generating billion-record synthetic databases", SIGMOD 1994, which YCSB uses too; math/rand's
// Zipf needs an exponent above one.
type Zipf struct {
	n                 float64
	alpha, zetan, eta float64
}

// NewZipf returns a Zipf over n ranks, n at least 1.
func NewZipf(n int) *Zipf {
	zetan := zeta(n)
	zeta2 := zeta(min(n, 2))
	return &Zipf{
		n: float64(n), alpha: 1 / (1 - Theta), zetan: zetan,
		eta: (1 - math.Pow(2/float64(n), 1-Theta)) / (1 - zeta2/zetan),
	}
}

func zeta(n int) float64 {
	sum := 0.0
	for i := 1; i <= n; i++ {
		sum += math.Pow(float64(i), -Theta)
	}
	return sum
}

// Rank returns the next choice.
func (z *Zipf) Rank(r *rand.Rand) int {
	u := r.Float64()
	uz := u * z.zetan
	switch {
	case z.n == 1 || uz < 1:
		return 0
	case z.n == 2 || uz < 1+math.Pow(0.5, Theta):
		return 1
	}
	k := int(z.n * math.Pow(z.eta*u-z.eta+1, z.alpha))
	return min(k, int(z.n)-1)
}

// Scatter spreads ranks over 0 to n-1, so that popular sessions are not
// neighbours. It is a bijection: a multiplication by a number coprime to n.
func Scatter(rank, n int) int {
	step := int(uint64(2654435761) % uint64(n))
	for step < 1 || gcd(step, n) != 1 {
		step++
	}
	return int(uint64(rank) * uint64(step) % uint64(n))
}

func gcd(a, b int) int {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}
