package store

// fewEntries is up to how many keys comparing them all is cheaper than a map.
const fewEntries = 16

// entryList holds values by key, in the order in which keys came first.
type entryList struct {
	all   []Entry
	index map[string]int // places in all; made when there are more than a few
}

// find returns the entry of key, or nil. It stays valid until the next put.
func (l *entryList) find(key string) *Entry {
	if len(l.all) <= fewEntries {
		for i := range l.all {
			if l.all[i].Key == key {
				return &l.all[i]
			}
		}
		return nil
	}
	if i, ok := l.index[key]; ok {
		return &l.all[i]
	}
	return nil
}

// put makes value the one under key.
func (l *entryList) put(key string, value []byte) {
	if e := l.find(key); e != nil {
		e.Value = value
		return
	}
	l.all = append(l.all, Entry{key, value})
	switch n := len(l.all); {
	case n <= fewEntries:
	case n == fewEntries+1:
		if l.index == nil {
			l.index = make(map[string]int, 2*n)
		}
		for i := range l.all {
			l.index[l.all[i].Key] = i
		}
	default:
		l.index[key] = n - 1
	}
}

// clear removes all entries and keeps the memory for others.
func (l *entryList) clear() {
	clear(l.all)
	l.all = l.all[:0]
	clear(l.index)
}

// distinct refuses entries that name a key twice.
func distinct(entries []Entry) error {
	if len(entries) <= fewEntries {
		for i := range entries {
			for j := range i {
				if entries[i].Key == entries[j].Key {
					return twice(entries[i].Key)
				}
			}
		}
		return nil
	}
	seen := make(map[string]struct{}, len(entries))
	for i := range entries {
		if _, dup := seen[entries[i].Key]; dup {
			return twice(entries[i].Key)
		}
		seen[entries[i].Key] = struct{}{}
	}
	return nil
}

// distinctEach is distinct for what a Commit expects and for what it writes.
func distinctEach(expect, write []Entry) error {
	if err := distinct(expect); err != nil {
		return err
	}
	return distinct(write)
}

func twice(key string) error {
	return &keyError{key, "it appears twice in one batch; name each key once"}
}
