package main

import (
	"html/template"
	"log"
	"net/http"
	"os"

	"example.com/shop/internal/pages"
)

func main() {
	http.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) {
		// Read from disk, relative to the app's own directory.
		template.Must(template.ParseFiles("templates/index.html")).Execute(w, "shop")
	})
	http.Handle("GET /static/", http.FileServerFS(pages.Static))
	log.Fatal(http.ListenAndServe(":"+os.Getenv("PORT"), nil))
}
