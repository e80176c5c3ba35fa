package codec

import (
	"bytes"
	"fmt"
	"reflect"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// firstTree contains itself by every way that a type can.
type firstTree struct {
	Name  string
	Left  *firstTree
	Kids  []firstTree
	By    map[string]firstTree
	Other *firstOther
}

type firstOther struct {
	Back *firstTree
	List [][]*firstOther
	Any  any
}

// TestFirstUseByMany: many goroutines use types that nobody used before, which contain each other, at once.
func TestFirstUseByMany(t *testing.T) {
	for _, c := range []Codec{Msgpack, JSON, MsgpackJSONTags} {
		t.Run(fmt.Sprint(c.Name(), c), func(t *testing.T) {
			type tree firstTree
			want := firstTree{
				Name: "root", Left: &firstTree{Name: "left"}, Kids: []firstTree{{Name: "kid"}},
				By:    map[string]firstTree{"k": {Name: "by"}},
				Other: &firstOther{Back: &firstTree{Name: "back"}, List: [][]*firstOther{{{Any: "x"}}, nil}, Any: true},
			}
			start := make(chan struct{})
			var wg sync.WaitGroup
			var mu sync.Mutex
			var first []byte
			for i := range 16 {
				// Struct types that reflect makes are new in each run of the test, too.
				made := reflect.StructOf([]reflect.StructField{
					{Name: "A", Type: reflect.TypeFor[[]firstTree]()},
					{Name: "B", Type: reflect.TypeFor[map[string]*firstOther]()},
					{Name: fmt.Sprintf("C%d%d", i%3, len(c.Name())), Type: reflect.TypeFor[string]()},
				})
				wg.Go(func() {
					<-start
					v := tree(want)
					data, err := Append(c, nil, &v)
					if err != nil {
						t.Errorf("Append(%T) = %v", v, err)
						return
					}
					mu.Lock()
					if first == nil {
						first = data
					}
					same := bytes.Equal(first, data)
					mu.Unlock()
					if !same {
						t.Errorf("Append(%T) = %x, by another goroutine %x", v, data, first)
					}
					got, err := Decode[tree](c, data)
					if diff := cmp.Diff(want, firstTree(got)); err != nil || diff != "" {
						t.Errorf("Decode() = %v (-want +got):\n%s", err, diff)
					}
					p := reflect.New(made)
					p.Elem().Field(0).Set(reflect.ValueOf([]firstTree{want}))
					p.Elem().Field(2).SetString("c")
					if data, err = c.Append(nil, p.Interface()); err != nil {
						t.Errorf("Append(%v) = %v", made, err)
						return
					}
					back := reflect.New(made)
					if err := c.Decode(data, back.Interface()); err != nil || !reflect.DeepEqual(p.Interface(), back.Interface()) {
						t.Errorf("Decode(%v) = %v, %v, want %v", made, back.Elem(), err, p.Elem())
					}
				})
			}
			close(start)
			wg.Wait()
		})
	}
}
