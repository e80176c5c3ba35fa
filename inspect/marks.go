package inspect

import "encoding/binary"

// cutMarks takes off the marks that package codec puts before an encoding: the version of
// codec.Versioned, and the name of the codec of codec.DuringChange. One that is broken is left.
func cutMarks(b []byte) (version int, name string, encoding []byte) {
	const mark, isVersion, isName, most = 0xc1, 1, 2, 2
	for range most {
		if len(b) < 3 || b[0] != mark {
			break
		}
		switch b[1] {
		case isVersion:
			v, n := binary.Uvarint(b[2:])
			if n <= 0 || v > 1<<31-1 {
				return version, name, b
			}
			version, b = int(v), b[2+n:]
		case isName:
			n := int(b[2])
			if n > len(b)-3 {
				return version, name, b
			}
			name, b = string(b[3:3+n]), b[3+n:]
		default:
			return version, name, b
		}
	}
	return version, name, b
}
