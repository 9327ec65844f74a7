module processor

go 1.24
