package codec

// The codes of the msgpack specification. (The library has them as variables, which
// cost a load each.)
const (
	posFixHigh   = 0x7f
	fixMapLow    = 0x80
	fixMapHigh   = 0x8f
	fixArrayLow  = 0x90
	fixArrayHigh = 0x9f
	fixStrLow    = 0xa0
	fixStrHigh   = 0xbf
	negFixLow    = 0xe0
	maxFixStr    = fixStrHigh - fixStrLow // the longest string with a code of its own

	codeNil      = 0xc0
	codeUnused   = 0xc1
	codeFalse    = 0xc2
	codeTrue     = 0xc3
	codeBin8     = 0xc4
	codeBin16    = 0xc5
	codeBin32    = 0xc6
	codeExt8     = 0xc7
	codeExt16    = 0xc8
	codeExt32    = 0xc9
	codeFloat32  = 0xca
	codeFloat64  = 0xcb
	codeUint8    = 0xcc
	codeUint16   = 0xcd
	codeUint32   = 0xce
	codeUint64   = 0xcf
	codeInt8     = 0xd0
	codeInt16    = 0xd1
	codeInt32    = 0xd2
	codeInt64    = 0xd3
	codeFixExt1  = 0xd4
	codeFixExt2  = 0xd5
	codeFixExt4  = 0xd6
	codeFixExt8  = 0xd7
	codeFixExt16 = 0xd8
	codeStr8     = 0xd9
	codeStr16    = 0xda
	codeStr32    = 0xdb
	codeArray16  = 0xdc
	codeArray32  = 0xdd
	codeMap16    = 0xde
	codeMap32    = 0xdf
)

// Extension types.
const (
	extTime       = -1   // the specification's timestamp
	extTimeByte   = 0xff // the same as a byte
	extNodeJSTime = 13   // what some writers use instead
	extIntern     = -128 // the library's reference to an earlier string
)
