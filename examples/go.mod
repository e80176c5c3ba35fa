module github.com/sessionkv/store/examples

go 1.26.0
