module github.com/sessionkv/store/integrations

go 1.26.0
