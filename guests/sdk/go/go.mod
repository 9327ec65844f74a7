module bespoke

go 1.24
