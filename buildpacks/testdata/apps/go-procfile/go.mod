module example.com/jobs

go 1.23

require github.com/google/uuid v1.6.0

// +heroku install ./cmd/...
