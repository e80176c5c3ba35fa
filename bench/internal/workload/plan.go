package workload

import "math/rand/v2"

// An Op is one operation that was decided on before the clock started.
type Op struct {
	Kind    Kind
	Key     int32
	Value   int32
	Session int32 // for Latest: how many sessions before the newest one
}

// PlanSize is the number of operations of a plan, a power of two. Workers go round and round in it.
const PlanSize = 1 << 14

// Plan decides on operations. The same arguments give the same plan.
func (w Workload) Plan(seed uint64, sessions, keys int) []Op {
	r := rand.New(rand.NewPCG(seed, 0x5eed))
	var zipf *Zipf
	if w.Choice != Uniform {
		zipf = NewZipf(sessions)
	}
	var bounds [Kinds]int
	sum := 0
	for k, p := range w.Percent {
		sum += p
		bounds[k] = sum
	}
	plan := make([]Op, PlanSize)
	for i := range plan {
		op := &plan[i]
		dice := r.IntN(sum)
		for bounds[op.Kind] <= dice {
			op.Kind++
		}
		op.Key, op.Value = int32(r.IntN(keys)), int32(r.IntN(poolSize))
		switch w.Choice {
		case Zipfian:
			op.Session = int32(Scatter(zipf.Rank(r), sessions))
		case Latest:
			op.Session = int32(zipf.Rank(r))
		case Uniform:
			op.Session = int32(r.IntN(sessions))
		}
	}
	return plan
}
