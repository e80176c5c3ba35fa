module github.com/sessionkv/store/bench

go 1.26.0
