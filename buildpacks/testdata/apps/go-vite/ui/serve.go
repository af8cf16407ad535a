// Package ui holds the pages.
package ui

import (
	"embed"
	"io/fs"
)

//go:embed build/*
var build embed.FS

// Files are the pages, as Vite has built them.
func Files() fs.FS {
	files, err := fs.Sub(build, "build")
	if err != nil {
		panic(err)
	}
	return files
}
