package main

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync"

	"github.com/coder/websocket"
)

//go:embed page.html
var page []byte

// serve answers HTTP/1.1 on address until the process ends.
func serve(address string) error {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	fmt.Println("listening on", listener.Addr())
	mux := http.NewServeMux()
	mux.HandleFunc("/", root)
	mux.HandleFunc("/head", head)
	mux.HandleFunc("/count", count)
	mux.HandleFunc("/echo", echo)
	mux.HandleFunc("/bytes", bytes)
	mux.HandleFunc("/early", early)
	mux.HandleFunc("/page", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		w.Write(page)
	})
	mux.HandleFunc("/ws", socket)
	mux.HandleFunc("/verdict", verdict)
	return http.Serve(listener, mux)
}

// root reads what is sent and says so little that h2spec's smallest windows matter.
func root(w http.ResponseWriter, r *http.Request) {
	io.Copy(io.Discard, r.Body)
	fmt.Fprintln(w, "hello, I am a backend")
}

// head tells what arrived.
func head(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	json.NewEncoder(w).Encode(map[string]any{
		"method": r.Method, "target": r.RequestURI, "proto": r.Proto, "host": r.Host, "headers": r.Header,
		"length": r.ContentLength, "body": string(body), "trailers": r.Trailer,
	})
}

// count tells how many bytes arrived, and their CRC.
func count(w http.ResponseWriter, r *http.Request) {
	sum := crc32.New(table)
	size, err := io.CopyBuffer(sum, r.Body, make([]byte, 1<<16))
	if err != nil {
		fmt.Fprintln(w, "broken after", size, err)
		return
	}
	fmt.Fprintln(w, size, sum.Sum32())
}

var table = crc32.MakeTable(crc32.Castagnoli)

// echo sends back piece by piece what comes, and then the trailer fields.
func echo(w http.ResponseWriter, r *http.Request) {
	control := http.NewResponseController(w)
	control.EnableFullDuplex()
	w.Header().Set("Trailer", "X-Sum")
	w.WriteHeader(http.StatusOK)
	control.Flush()
	buffer := make([]byte, 1<<14)
	for {
		size, err := r.Body.Read(buffer)
		if size > 0 {
			w.Write(buffer[:size])
			control.Flush()
		}
		if err != nil {
			break
		}
	}
	w.Header().Set("X-Sum", r.Trailer.Get("X-Sum"))
}

// bytes sends ?n= bytes by chunks, and their CRC in a trailer field.
func bytes(w http.ResponseWriter, r *http.Request) {
	rest, _ := strconv.Atoi(r.URL.Query().Get("n"))
	w.Header().Set("Trailer", "X-Crc")
	sum := crc32.New(table)
	piece := make([]byte, 1<<15)
	for at := range piece {
		piece[at] = byte(at * 31)
	}
	for ; rest > 0; rest -= len(piece) {
		piece = piece[:min(rest, len(piece))]
		sum.Write(piece)
		if _, err := w.Write(piece); err != nil {
			return
		}
	}
	w.Header().Set("X-Crc", strconv.FormatUint(uint64(sum.Sum32()), 10))
}

// early answers without a look at the body.
func early(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Connection", "close")
	http.Error(w, "no", http.StatusForbidden)
}

// verdicts are what pages have said, by ?of=.
var verdicts sync.Map

func verdict(w http.ResponseWriter, r *http.Request) {
	of := r.URL.Query().Get("of")
	if r.Method == http.MethodPost {
		said, _ := io.ReadAll(r.Body)
		verdicts.Store(of, string(said))
	} else if said, found := verdicts.Load(of); found {
		io.WriteString(w, said.(string))
	}
}

// socket sends each message of a websocket back.
func socket(w http.ResponseWriter, r *http.Request) {
	// A browser's Origin has to be the Host, which the proxy keeps.
	connection, err := websocket.Accept(w, r, nil)
	if err != nil {
		return
	}
	defer connection.CloseNow()
	connection.SetReadLimit(1 << 22)
	for {
		kind, message, err := connection.Read(r.Context())
		if err != nil || connection.Write(r.Context(), kind, message) != nil {
			return
		}
	}
}
