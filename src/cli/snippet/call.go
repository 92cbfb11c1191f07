// Calls {{upstream}} through veilwarden, once a minute.
package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"
)

// It follows no redirect and no proxy variable: the token is for veilwarden only.
var client = http.Client{
	Transport:     &http.Transport{},
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	Timeout:       150 * time.Second,
}

func call(method, host, path string, body io.Reader) (*http.Response, error) {
	// The file is read for every call, because the kubelet renews the token.
	token, err := os.ReadFile(os.Getenv("VEILWARDEN_TOKEN_FILE"))
	if err != nil {
		return nil, err
	}
	request, err := http.NewRequest(method, os.Getenv("VEILWARDEN_URL")+path, body)
	if err != nil {
		return nil, err
	}
	request.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(token)))
	request.Header.Set("X-Upstream-Host", host)
	return client.Do(request)
}

func main() {
	pause, err := time.ParseDuration(os.Getenv("SECONDS_BETWEEN_CALLS") + "s")
	if err != nil {
		pause = time.Minute
	}
	for ; ; time.Sleep(pause) {
		answer, err := call("GET", "{{upstream}}", "{{path}}", nil)
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			continue
		}
		body, err := io.ReadAll(answer.Body)
		answer.Body.Close()
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			continue
		}
		// The field is there only if veilwarden itself answered.
		fmt.Printf("%s\n%d %s\n", body, answer.StatusCode, answer.Header.Get("X-Veilwarden-Error"))
	}
}
