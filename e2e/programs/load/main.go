// A steady load that counts failures: it prints a line, starts requests at a fixed rate, however slow the answers are,
// until SIGTERM, then waits for the open ones and prints one JSON object.
//
//	load -url http://10.201.0.1/ -host shop.example [-rate 500] [-mode keep-alive|close|h2] [-expect 200]
//
// Failed is a request without a whole answer, with another status, or with the answer to another request: each carries
// an id that an echo back end returns in its body.
package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"os"
	"os/signal"
	"sort"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

type outcome struct {
	after, took time.Duration
	failure     string
}

type report struct {
	Sent     int            `json:"sent"`
	Failed   int            `json:"failed"`
	Retried  int64          `json:"retried"`
	Seconds  float64        `json:"seconds"`
	P50      float64        `json:"p50_ms"`
	P99      float64        `json:"p99_ms"`
	Max      float64        `json:"max_ms"`
	Failures map[string]int `json:"failures"`
	First    []string       `json:"first"`
}

func main() {
	target := flag.String("url", "", "what to get; its address is connected to")
	host := flag.String("host", "", "Host field and TLS server name")
	rate := flag.Int("rate", 500, "requests a second")
	mode := flag.String("mode", "keep-alive", "keep-alive, close (a connection for each request), h2 (over TLS)")
	expect := flag.Int("expect", 200, "status that is no failure")
	timeout := flag.Duration("timeout", 10*time.Second, "a request that takes longer has failed")
	flag.Parse()

	client := newClient(*target, *host, *mode, *timeout)
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	fmt.Println("started")
	started := time.Now()
	tick := time.NewTicker(time.Second / time.Duration(*rate))
	var open sync.WaitGroup
	var lock sync.Mutex
	var outcomes []outcome
	for sent, running := 0, true; running; {
		select {
		case <-signals:
			running = false
		case <-tick.C:
		}
		// After a late tick the missed ones are made up for, so that the rate holds on a busy machine.
		for due := int(time.Since(started).Seconds() * float64(*rate)); sent < due; sent++ {
			id := fmt.Sprintf("load-%d", sent)
			open.Go(func() {
				begun := time.Now()
				failure := ask(client, *target, *host, id, *expect)
				lock.Lock()
				defer lock.Unlock()
				outcomes = append(outcomes, outcome{begun.Sub(started), time.Since(begun), failure})
			})
		}
	}
	seconds := time.Since(started).Seconds()
	open.Wait()
	_ = json.NewEncoder(os.Stdout).Encode(summarise(outcomes, seconds))
}

func newClient(target, host, mode string, timeout time.Duration) *http.Client {
	parsed, err := url.Parse(target)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	protocols := new(http.Protocols)
	protocols.SetHTTP1(mode != "h2")
	protocols.SetHTTP2(mode == "h2")
	dialer := net.Dialer{Timeout: timeout}
	transport := &http.Transport{
		// The tests use certificates of their own; which one is served is another test's matter.
		TLSClientConfig:     &tls.Config{ServerName: host, InsecureSkipVerify: true},
		DisableKeepAlives:   mode == "close",
		MaxIdleConnsPerHost: 64,
		// Go opens some in reserve. One that never sent a request is closed by the server after its time for a head (10 s),
		// and whoever takes it at that moment would count as lost.
		IdleConnTimeout: 5 * time.Second,
		Protocols:       protocols,
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return dialer.DialContext(ctx, network, address(parsed))
		},
	}
	return &http.Client{Transport: transport, Timeout: timeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

func address(target *url.URL) string {
	if target.Port() != "" {
		return target.Host
	}
	return net.JoinHostPort(target.Hostname(), map[string]string{"http": "80", "https": "443"}[target.Scheme])
}

// retried counts what Go's client sent again by itself, since a kept connection was closed under it.
var retried atomic.Int64

// ask says what went wrong, or nothing.
func ask(client *http.Client, target, host, id string, expect int) string {
	request, err := http.NewRequest("GET", target, nil)
	if err != nil {
		return err.Error()
	}
	first := true
	trace := httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) {
		if !first {
			retried.Add(1)
		}
		first = false
	}}
	request = request.WithContext(httptrace.WithClientTrace(request.Context(), &trace))
	request.Host = host
	request.Header.Set("X-E2e-Id", id)
	answer, err := client.Do(request)
	if err != nil {
		return err.Error()
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	switch {
	case err != nil:
		return "body: " + err.Error()
	case answer.StatusCode != expect:
		return answer.Status
	case expect == 200 && !strings.Contains(string(body), `"`+id+`"`):
		return "the answer to another request"
	}
	return ""
}

func summarise(outcomes []outcome, seconds float64) report {
	sort.Slice(outcomes, func(a, b int) bool { return outcomes[a].after < outcomes[b].after })
	result := report{Sent: len(outcomes), Retried: retried.Load(), Seconds: seconds, Failures: map[string]int{}, First: []string{}}
	var took []float64
	for _, each := range outcomes {
		took = append(took, float64(each.took.Microseconds())/1000)
		if each.failure == "" {
			continue
		}
		result.Failed++
		result.Failures[each.failure]++
		if len(result.First) < 10 {
			result.First = append(result.First, fmt.Sprintf("after %.3f s: %s", each.after.Seconds(), each.failure))
		}
	}
	if sort.Float64s(took); len(took) > 0 {
		result.P50, result.P99, result.Max = took[len(took)/2], took[len(took)*99/100], took[len(took)-1]
	}
	return result
}
