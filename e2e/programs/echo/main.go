// A back end that says what it received and where it runs, as JSON.
//
//	echo [-listen :8080] [-stop-after 0s]
//
// GET /stream?seconds=N sends a line ten times a second, /bytes?count=N that many bytes over the time of seconds=N,
// /status?code=N that status, /count says how long the request's body was, /tunnel is a WebSocket that sends back every
// byte and says in X-Peer who connected, /check notes who asks, and /checks says who did and when (?fail=true: /check is
// 503 from now on). Every answer has X-Pod, and in X-Received the milliseconds since 1970. At SIGTERM it serves on for
// -stop-after, then closes its listener, lets open requests end and exits 0.
package main

import (
	"context"
	"crypto/sha1"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"sync"
	"syscall"
	"time"
)

func main() {
	listen := flag.String("listen", ":8080", "address to listen on")
	stopAfter := flag.Duration("stop-after", 0, "how long to serve on after SIGTERM")
	flag.Parse()
	http.HandleFunc("/", echo)
	http.HandleFunc("/ready", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) })
	http.HandleFunc("/status", func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(number(r, "code", 200)) })
	http.HandleFunc("/stream", stream)
	http.HandleFunc("/bytes", bytes)
	http.HandleFunc("/count", count)
	http.HandleFunc("/tunnel", tunnel)
	http.HandleFunc("/check", check)
	http.HandleFunc("/checks", report)
	server := &http.Server{Addr: *listen, Handler: http.HandlerFunc(named)}
	stopped := make(chan struct{})
	go func() {
		signals := make(chan os.Signal, 1)
		signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
		<-signals
		time.Sleep(*stopAfter)
		_ = server.Shutdown(context.Background())
		close(stopped)
	}()
	if err := server.ListenAndServe(); err != http.ErrServerClosed {
		log.Fatal(err)
	}
	<-stopped
}

// named says in every answer whose it is, and when the request came.
func named(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("X-Pod", os.Getenv("POD_NAME"))
	w.Header().Set("X-Received", strconv.FormatInt(time.Now().UnixMilli(), 10))
	http.DefaultServeMux.ServeHTTP(w, r)
}

// checks is what became of each request to /check.
var checks struct {
	sync.Mutex
	list []asked
	fail bool
}

type asked struct {
	// Milliseconds since 1970.
	At     int64  `json:"at"`
	From   string `json:"from"`
	Status int    `json:"status"`
}

func check(w http.ResponseWriter, r *http.Request) {
	from, _, _ := net.SplitHostPort(r.RemoteAddr)
	one := asked{time.Now().UnixMilli(), from, http.StatusOK}
	checks.Lock()
	defer checks.Unlock()
	if checks.fail {
		one.Status = http.StatusServiceUnavailable
	}
	checks.list = append(checks.list, one)
	w.WriteHeader(one.Status)
}

func report(w http.ResponseWriter, r *http.Request) {
	checks.Lock()
	defer checks.Unlock()
	if fail, err := strconv.ParseBool(r.URL.Query().Get("fail")); err == nil {
		checks.fail = fail
	}
	_ = json.NewEncoder(w).Encode(checks.list)
}

// echo answers in the shape that the Ingress conformance scenarios expect.
func echo(w http.ResponseWriter, r *http.Request) {
	answer := map[string]any{
		"pod": os.Getenv("POD_NAME"), "namespace": os.Getenv("NAMESPACE"), "ingress": os.Getenv("INGRESS_NAME"),
		"service": os.Getenv("SERVICE_NAME"), "path": r.RequestURI, "host": r.Host, "method": r.Method,
		"proto": r.Proto, "headers": r.Header,
	}
	if r.TLS != nil {
		answer["tls"] = map[string]string{
			"version": tls.VersionName(r.TLS.Version), "cipher": tls.CipherSuiteName(r.TLS.CipherSuite),
			"serverName": r.TLS.ServerName,
		}
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(answer)
}

func stream(w http.ResponseWriter, r *http.Request) {
	for sent := range number(r, "seconds", 1) * 10 {
		fmt.Fprintf(w, "data: %d\n\n", sent)
		w.(http.Flusher).Flush()
		time.Sleep(100 * time.Millisecond)
	}
}

func bytes(w http.ResponseWriter, r *http.Request) {
	count, seconds := number(r, "count", 1<<20), number(r, "seconds", 0)
	w.Header().Set("Content-Length", strconv.Itoa(count))
	const parts = 20
	for part := range parts {
		if _, err := w.Write(make([]byte, count*(part+1)/parts-count*part/parts)); err != nil {
			return
		}
		w.(http.Flusher).Flush()
		time.Sleep(time.Duration(seconds) * time.Second / parts)
	}
}

// count answers after the whole body has come, or not at all.
func count(w http.ResponseWriter, r *http.Request) {
	if length, err := io.Copy(io.Discard, r.Body); err == nil {
		fmt.Fprint(w, length)
	}
}

// tunnel is told the handshake's key and then knows nothing of frames: what comes goes back.
func tunnel(w http.ResponseWriter, r *http.Request) {
	connection, buffered, err := w.(http.Hijacker).Hijack()
	if err != nil {
		return
	}
	defer connection.Close()
	key := sha1.Sum([]byte(r.Header.Get("Sec-Websocket-Key") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	fmt.Fprintf(connection, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
		"Sec-WebSocket-Accept: %s\r\nX-Peer: %s\r\n\r\n", base64.StdEncoding.EncodeToString(key[:]), r.RemoteAddr)
	_, _ = io.Copy(connection, buffered)
}

func number(r *http.Request, name string, otherwise int) int {
	if found, err := strconv.Atoi(r.URL.Query().Get(name)); err == nil {
		return found
	}
	return otherwise
}
