package growth

import "testing"

func TestMeasure(t *testing.T) {
	for _, size := range []Size{{1, 3}, {100, 20}} {
		g, err := Measure(t.Context(), size)
		if err != nil {
			t.Fatal(err)
		}
		if g.GetNs <= 0 || g.SetNs <= 0 || g.Sessions != size.Sessions || g.Keys != size.Keys {
			t.Errorf("Measure(%+v) = %+v", size, g)
		}
	}
}
