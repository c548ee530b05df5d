// Asks a webhook the way kube-apiserver does: net/http, keep-alive, HTTP/1.1. Prints one line per step; exits with 1 at the first surprise.
//
//	go run admission.go URL
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

type answer struct {
	Response struct {
		UID     string `json:"uid"`
		Allowed bool   `json:"allowed"`
	} `json:"response"`
}

var opened atomic.Int64

func review(uid, image string) []byte {
	return fmt.Appendf(nil, `{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1","request":{"uid":%q,`+
		`"kind":{"group":"","version":"v1","kind":"Pod"},"resource":{"group":"","version":"v1","resource":"pods"},"name":"p","namespace":"d",`+
		`"operation":"CREATE","userInfo":{"username":"u"},"object":{"apiVersion":"v1","kind":"Pod","metadata":{"name":"p"},`+
		`"spec":{"containers":[{"name":"c","image":%q}]}},"oldObject":null}}`, uid, image)
}

// A body whose length net/http does not know: it is sent in chunks.
type unknown struct{ io.Reader }

func ask(client *http.Client, url, uid, image string, chunked, expect bool) error {
	var body io.Reader = bytes.NewReader(review(uid, image))
	if chunked {
		body = unknown{body}
	}
	request, err := http.NewRequest(http.MethodPost, url, body)
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/json")
	if expect {
		request.Header.Set("Expect", "100-continue")
	}
	trace := &httptrace.ClientTrace{GotConn: func(info httptrace.GotConnInfo) {
		if !info.Reused {
			opened.Add(1)
		}
	}}
	response, err := client.Do(request.WithContext(httptrace.WithClientTrace(request.Context(), trace)))
	if err != nil {
		return err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	var got answer
	if err := json.Unmarshal(text, &got); err != nil {
		return fmt.Errorf("status %d: %w: %s", response.StatusCode, err, text)
	}
	wanted := strings.HasPrefix(image, "good.example/")
	if response.StatusCode != 200 || got.Response.UID != uid || got.Response.Allowed != wanted {
		return fmt.Errorf("status %d for %s %s: %s", response.StatusCode, uid, image, text)
	}
	return nil
}

func main() {
	url := os.Args[1]
	client := &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 8, ExpectContinueTimeout: 10 * time.Second}}
	images := []string{"good.example/a:1", "bad.example/a:1"}
	check := func(step string, err error) {
		if err != nil {
			fmt.Println(step, err)
			os.Exit(1)
		}
	}
	for n := range 100 {
		check("one after the other:", ask(client, url, fmt.Sprintf("u-%d", n), images[n%2], n%3 == 1, n%5 == 2))
	}
	if opened.Load() != 1 {
		check("one after the other:", fmt.Errorf("%d connections instead of one", opened.Load()))
	}
	var group sync.WaitGroup
	failures := make(chan error, 8)
	for worker := range 8 {
		group.Go(func() {
			for n := range 50 {
				if err := ask(client, url, fmt.Sprintf("w-%d-%d", worker, n), images[n%2], n%2 == 0, false); err != nil {
					failures <- err
					return
				}
			}
		})
	}
	group.Wait()
	close(failures)
	for err := range failures {
		check("eight at once:", err)
	}
	fmt.Println("500 answers, all right")
}
