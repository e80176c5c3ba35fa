module github.com/sessionkv/store/cmd/storevet

go 1.26.0

require (
	github.com/golangci/plugin-module-register v0.1.2
	github.com/sessionkv/store v0.0.0
	golang.org/x/tools v0.51.0
)

require (
	github.com/vmihailenco/msgpack/v5 v5.4.1 // indirect
	github.com/vmihailenco/tagparser/v2 v2.0.0 // indirect
	golang.org/x/mod v0.41.0 // indirect
	golang.org/x/sync v0.23.0 // indirect
)

replace github.com/sessionkv/store => ../../
