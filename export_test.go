package store

// Remembered returns how many decoded values s remembers.
func Remembered(s *Session) (n int) {
	if m := s.memo.Load(); m != nil {
		for i := range *m {
			if (*m)[i].Load() != nil {
				n++
			}
		}
	}
	return n
}

// RememberNothing makes s decode every value anew.
func RememberNothing(s *Session) { s.stable = false }
