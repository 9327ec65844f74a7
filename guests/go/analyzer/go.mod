module analyzer

go 1.24
