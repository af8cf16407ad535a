// Package pages holds what is served as it is.
package pages

import "embed"

//go:embed static
var Static embed.FS
