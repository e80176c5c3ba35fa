//go:build !386 && !arm && !mips && !mipsle

package codecs

import "github.com/bytedance/sonic"

// only64 are the libraries that compile on 64-bit machines only.
var only64 = []marshals{{"bytedance-sonic", sonic.ConfigStd.Marshal, sonic.ConfigStd.Unmarshal}}
