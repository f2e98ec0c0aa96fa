// Command clients is a foreign party for the data plane's tests: a backend that Ingresses lead to, and a client that speaks
// HTTP/1.1 and HTTP/2 as Go's standard library does.
//
//	clients backend ADDRESS
//	clients client HTTP-URL HTTPS-URL
package main

import (
	"fmt"
	"os"
)

func main() {
	var err error
	switch arguments := os.Args[1:]; {
	case len(arguments) == 2 && arguments[0] == "backend":
		err = serve(arguments[1])
	case len(arguments) == 3 && arguments[0] == "client":
		err = ask(arguments[1], arguments[2])
	default:
		err = fmt.Errorf("usage: clients backend ADDRESS | clients client HTTP-URL HTTPS-URL")
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
