package growth

import "testing"

func TestMeasure(t *testing.T) {
	for _, size := range []Size{{1, 3}, {100, 20}, {2000, 3}} {
		g, err := Measure(t.Context(), size)
		if err != nil {
			t.Fatal(err)
		}
		if g.GetNs <= 0 || g.SetNs <= 0 || g.Sessions != size.Sessions || g.Keys != size.Keys {
			t.Errorf("Measure(%+v) = %+v", size, g)
		}
		if size.Sessions >= 2000 && (g.StructRead <= g.BytesPerSession || g.StructReadAgain <= g.StructRead) {
			t.Errorf("Measure(%+v) = %+v, want more bytes with a struct, and more when it is remembered", size, g)
		}
	}
}
