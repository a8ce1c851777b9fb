module fairlead.dev/e2e/programs

go 1.26.0
