package main

// #include "sum.h"
import "C"

import (
	"fmt"
	"log"
	"net/http"
	"os"
)

func main() {
	http.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintln(w, "C says", C.sum(40, 2))
	})
	log.Fatal(http.ListenAndServe(":"+os.Getenv("PORT"), nil))
}
