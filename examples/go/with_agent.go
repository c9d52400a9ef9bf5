// Call Telenor's API with the shared token, read through AWS's Secrets Manager Agent.
//
// Reads paths from stdin, one per line, and prints the status of each response: go run with_agent.go
// Needs Go 1.21 or newer, no other module, and the agent on this machine.
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

var (
	baseURL        = strings.TrimRight(env("TELENOR_BASE_URL", "https://api.telenor.no"), "/")
	agentURL       = env("AGENT_URL", "http://localhost:2773")
	agentTokenFile = env("AGENT_TOKEN_FILE", "/var/run/awssmatoken")

	// Follow no redirect: the token stays at TELENOR_BASE_URL.
	client = &http.Client{
		Timeout:       10 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}

	lock   sync.Mutex
	cached string
	readAt time.Time
)

func env(name, otherwise string) string {
	if value, ok := os.LookupEnv(name); ok {
		return value
	}
	return otherwise
}

// token returns the shared token: from the cache, or read again if that is too old or was rejected.
func token(refused string) (string, error) {
	lock.Lock()
	defer lock.Unlock()
	// At least a minute less than the GRACE_SECONDS of the token job.
	seconds, err := strconv.Atoi(env("CACHE_SECONDS", "300"))
	if err != nil {
		return "", err
	}
	now := time.Now()
	if cached != "" && cached != refused && now.Sub(readAt) < time.Duration(seconds)*time.Second {
		return cached, nil
	}
	current, err := read()
	if err != nil {
		// Keep the age of the cache: a failed read must not extend it.
		return "", err
	}
	cached, readAt = current, now
	return cached, nil
}

// read asks the agent, and bypasses its cache, whose age would add to ours.
func read() (string, error) {
	agentToken, err := os.ReadFile(agentTokenFile)
	if err != nil {
		return "", err
	}
	query := url.Values{"secretId": {os.Getenv("TOKEN_SECRET_ID")}, "refreshNow": {"true"}}
	answer, err := send(agentURL+"/secretsmanager/get?"+query.Encode(),
		"X-Aws-Parameters-Secrets-Token", strings.TrimSpace(string(agentToken)))
	if err != nil {
		return "", err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return "", fmt.Errorf("the agent answered %d", answer.StatusCode)
	}
	var secret struct{ SecretString string }
	if err := json.NewDecoder(answer.Body).Decode(&secret); err != nil {
		return "", err
	}
	var document struct {
		AccessToken string `json:"access_token"`
	}
	err = json.Unmarshal([]byte(secret.SecretString), &document)
	return document.AccessToken, err
}

func send(address, header, value string) (*http.Response, error) {
	request, err := http.NewRequest(http.MethodGet, address, nil)
	if err != nil {
		return nil, err
	}
	request.Header.Set(header, value)
	return client.Do(request)
}

// call sends one request. Send the token only to TELENOR_BASE_URL: to no other host or port.
func call(path, token string) (int, error) {
	base, err := url.Parse(baseURL)
	if err != nil {
		return 0, err
	}
	address, err := url.Parse(baseURL + path)
	if err != nil || !strings.HasPrefix(path, "/") || address.Scheme != base.Scheme || address.Host != base.Host {
		return 0, errors.New("a path must begin with / and stay at TELENOR_BASE_URL")
	}
	answer, err := send(address.String(), "Authorization", "Bearer "+token)
	if err != nil {
		return 0, err
	}
	return answer.StatusCode, answer.Body.Close()
}

// get sends a GET. On a 401 it reads the secret again, and repeats once if it has another token.
func get(path string) (int, error) {
	first, err := token("")
	if err != nil {
		return 0, err
	}
	status, err := call(path, first)
	if err != nil || status != http.StatusUnauthorized {
		return status, err
	}
	current, err := token(first)
	if err != nil || current == first {
		return status, err
	}
	return call(path, current)
}

func main() {
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		status, err := get(strings.TrimSpace(lines.Text()))
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(status)
	}
}
