//go:build 386 || arm || mips || mipsle

package codecs

var only64 []marshals
