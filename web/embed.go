// Package web holds the portal: its sources in src, the built page in dist, and
// that page as a file system to serve. The built files are committed, so a
// binary built without Node carries the whole portal.
package web

import (
	"embed"
	"io/fs"
)

//go:embed all:dist
var files embed.FS

// Dist is the built portal with index.html at its root. The page loads under
// the content security policy default-src 'self', without inline scripts or
// styles, and fetches nothing from elsewhere.
var Dist fs.FS = dist()

func dist() fs.FS {
	sub, err := fs.Sub(files, "dist")
	if err != nil {
		panic(err) // the folder is fixed at compile time
	}
	return sub
}
