package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"net/http"
	"net/http/httptrace"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/coder/websocket"
)

// limit is what one check may take on a machine that has much else to do.
const limit = 60 * time.Second

// way is one of the ways in which a client can speak to the proxy.
type way struct {
	name, url, proto string
	client           *http.Client
}

func ways(plain, secure string) []way {
	with := func(name, url, proto string, allow func(*http.Protocols)) way {
		protocols := new(http.Protocols)
		allow(protocols)
		patience := limit
		if proto == "HTTP/2.0" {
			patience = time.Second
		}
		transport := &http.Transport{
			Protocols:             protocols,
			TLSClientConfig:       &tls.Config{InsecureSkipVerify: true},
			ExpectContinueTimeout: patience,
			DisableCompression:    true,
		}
		return way{name, url, proto, &http.Client{Transport: transport, Timeout: limit}}
	}
	return []way{
		with("h1", plain, "HTTP/1.1", func(p *http.Protocols) { p.SetHTTP1(true) }),
		with("h1-tls", secure, "HTTP/1.1", func(p *http.Protocols) { p.SetHTTP1(true) }),
		with("h2c", plain, "HTTP/2.0", func(p *http.Protocols) { p.SetUnencryptedHTTP2(true) }),
		with("h2", secure, "HTTP/2.0", func(p *http.Protocols) { p.SetHTTP2(true) }),
	}
}

// ask runs every check in every way: one line for each, `ok` or `FAILED`.
func ask(plain, secure string) error {
	checks := []struct {
		name string
		run  func(way) error
	}{
		{"get", get}, {"head", headOnly}, {"sized-upload", sized}, {"chunked-upload", chunked}, {"download", download},
		{"trailers", trailers}, {"both-ways-at-once", duplex}, {"expect-continue", expectContinue},
		{"early-answer", earlyAnswer}, {"broken-off", brokenOff}, {"many-at-once", many}, {"websocket", webSocket},
	}
	failed := 0
	for _, way := range ways(plain, secure) {
		for _, check := range checks {
			if check.name == "websocket" && way.proto != "HTTP/1.1" {
				continue
			}
			verdict := "ok"
			if err := check.run(way); err != nil {
				verdict, failed = "FAILED "+strings.ReplaceAll(err.Error(), "\n", "; "), failed+1
			}
			fmt.Printf("go %s %s: %s\n", way.name, check.name, verdict)
		}
	}
	if failed > 0 {
		return fmt.Errorf("%d checks failed", failed)
	}
	return nil
}

// request sends one, expects 200 by the right protocol, and reads everything.
func request(way way, request *http.Request) (*http.Response, string, error) {
	response, err := way.client.Do(request)
	if err != nil {
		return nil, "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, "", err
	}
	if response.StatusCode != http.StatusOK || response.Proto != way.proto {
		return nil, "", fmt.Errorf("%s by %s: %.200s", response.Status, response.Proto, body)
	}
	return response, string(body), nil
}

func newRequest(method, url string, body io.Reader) *http.Request {
	request, err := http.NewRequest(method, url, body)
	if err != nil {
		panic(err)
	}
	return request
}

func want[T comparable](what string, have, want T) error {
	if have != want {
		return fmt.Errorf("%s is %v instead of %v", what, have, want)
	}
	return nil
}

type seen struct {
	Method, Target, Proto, Host, Body string
	Length                            int64
	Headers, Trailers                 http.Header
}

func get(way way) error {
	asking := newRequest("GET", way.url+"/head?a=b", nil)
	asking.Header.Set("X-Forwarded-For", "6.6.6.6")
	_, body, err := request(way, asking)
	if err != nil {
		return err
	}
	var seen seen
	if err := json.Unmarshal([]byte(body), &seen); err != nil {
		return err
	}
	scheme, _, _ := strings.Cut(way.url, ":")
	return errors.Join(
		want("target", seen.Target, "/head?a=b"),
		want("scheme", seen.Headers.Get("X-Forwarded-Proto"), scheme),
		want("address", seen.Headers.Get("X-Forwarded-For"), "127.0.0.1"),
	)
}

func headOnly(way way) error {
	response, body, err := request(way, newRequest("HEAD", way.url+"/", nil))
	if err != nil {
		return err
	}
	return errors.Join(want("body", body, ""), want("length", response.ContentLength, 22))
}

const some = 5<<20 + 7

// zeros has no length that Go could know of.
type zeros struct{ io.Reader }

func newZeros(size int64) zeros {
	return zeros{io.LimitReader(zeroReader{}, size)}
}

type zeroReader struct{}

func (zeroReader) Read(piece []byte) (int, error) {
	clear(piece)
	return len(piece), nil
}

func counted(size int) string {
	return fmt.Sprintf("%d %d\n", size, crc32.Checksum(make([]byte, size), table))
}

func sized(way way) error {
	upload := newRequest("POST", way.url+"/count", newZeros(some))
	upload.ContentLength = some
	_, body, err := request(way, upload)
	return errors.Join(err, want("what arrived", body, counted(some)))
}

func chunked(way way) error {
	_, body, err := request(way, newRequest("POST", way.url+"/count", newZeros(some)))
	return errors.Join(err, want("what arrived", body, counted(some)))
}

func download(way way) error {
	asking := newRequest("GET", way.url+"/bytes?n="+strconv.Itoa(some), nil)
	wantTrailers(way, asking)
	response, body, err := request(way, asking)
	if err != nil {
		return err
	}
	sum := strconv.FormatUint(uint64(crc32.Checksum([]byte(body), table)), 10)
	return errors.Join(want("size", len(body), some), want("trailer", response.Trailer.Get("X-Crc"), sum))
}

// wantTrailers says that trailer fields are read: in HTTP/1.1 they are not sent otherwise (RFC 9110, 6.5.1).
func wantTrailers(way way, request *http.Request) {
	if way.proto == "HTTP/1.1" {
		request.Header.Set("TE", "trailers")
	}
}

func trailers(way way) error {
	upload := newRequest("POST", way.url+"/echo", newZeros(10))
	upload.Trailer = http.Header{"X-Sum": {"up"}}
	wantTrailers(way, upload)
	response, body, err := request(way, upload)
	if err != nil {
		return err
	}
	return errors.Join(want("size", len(body), 10), want("trailer", response.Trailer.Get("X-Sum"), "up"))
}

// duplex sends a piece only after the one before has come back.
func duplex(way way) error {
	read, write := io.Pipe()
	response, err := way.client.Do(newRequest("POST", way.url+"/echo", read))
	if err != nil {
		return err
	}
	defer response.Body.Close()
	for number := range 20 {
		piece := fmt.Sprintf("piece %02d", number)
		if _, err := io.WriteString(write, piece); err != nil {
			return err
		}
		back := make([]byte, len(piece))
		if _, err := io.ReadFull(response.Body, back); err != nil {
			return err
		}
		if err := want("what came back", string(back), piece); err != nil {
			return err
		}
	}
	write.Close()
	_, err = io.Copy(io.Discard, response.Body)
	return err
}

// expectContinue sends no body before it was told to go on, in HTTP/1.1: the transport waits longer than the check may take. In
// HTTP/2 nobody tells, as with nginx; the client goes on by itself.
func expectContinue(way way) error {
	upload := newRequest("POST", way.url+"/count", strings.NewReader("hello"))
	upload.Header.Set("Expect", "100-continue")
	told := false
	trace := &httptrace.ClientTrace{Got100Continue: func() { told = true }}
	upload = upload.WithContext(httptrace.WithClientTrace(upload.Context(), trace))
	_, body, err := request(way, upload)
	if err != nil {
		return err
	}
	size, _, _ := strings.Cut(body, " ")
	return errors.Join(want("size", size, "5"), want("told to go on", told, way.proto == "HTTP/1.1"))
}

// earlyAnswer gets its answer although the body has no end.
func earlyAnswer(way way) error {
	response, err := way.client.Do(newRequest("POST", way.url+"/early", newZeros(1<<40)))
	if err != nil {
		return err
	}
	defer response.Body.Close()
	return want("status", response.StatusCode, http.StatusForbidden)
}

// brokenOff goes away in the middle; others are served as before.
func brokenOff(way way) error {
	for range 20 {
		ctx, cancel := context.WithCancel(context.Background())
		response, err := way.client.Do(newRequest("GET", way.url+"/bytes?n=100000000", nil).WithContext(ctx))
		if err != nil {
			cancel()
			return err
		}
		_, err = io.ReadFull(response.Body, make([]byte, 1000))
		cancel()
		response.Body.Close()
		if err != nil {
			return err
		}
	}
	return get(way)
}

func many(way way) error {
	var wait sync.WaitGroup
	failures := make([]error, 64)
	for number := range failures {
		wait.Go(func() {
			response, body, err := request(way, newRequest("GET", way.url+"/bytes?n="+strconv.Itoa(100_000+number), nil))
			if err == nil {
				err = errors.Join(want("size", len(body), 100_000+number), want("status", response.StatusCode, 200))
			}
			failures[number] = err
		})
	}
	wait.Wait()
	return errors.Join(failures...)
}

func webSocket(way way) error {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	connection, _, err := websocket.Dial(ctx, way.url+"/ws", &websocket.DialOptions{HTTPClient: way.client})
	if err != nil {
		return err
	}
	defer connection.CloseNow()
	connection.SetReadLimit(1 << 22)
	for _, size := range []int{0, 1, 125, 126, 65535, 65536, 1 << 20} {
		message := strings.Repeat("x", size)
		if err := connection.Write(ctx, websocket.MessageText, []byte(message)); err != nil {
			return err
		}
		_, back, err := connection.Read(ctx)
		if err != nil {
			return err
		}
		if err := want("size", len(back), size); err != nil {
			return err
		}
	}
	return connection.Close(websocket.StatusNormalClosure, "done")
}
