package main

import (
	"log"
	"net/http"
	"os"

	"example.com/board/ui"
)

func main() {
	http.Handle("/", http.FileServer(http.FS(ui.Files())))
	log.Fatal(http.ListenAndServe(":"+os.Getenv("PORT"), nil))
}
