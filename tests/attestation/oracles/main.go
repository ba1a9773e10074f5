// Command oracles says what independent Go libraries make of attestation evidence: go-sev-guest, go-tdx-guest and nitrite.
//
// Each line of standard input is a request, each line of standard output that begins with a brace the verdict on it, both
// JSON; go-tdx-guest writes warnings there too. Nothing is fetched: endorsements are in the request, and so is the time.
// There is no such library for SGX quotes.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"log"
	"os"
	"syscall"
	"time"
)

// maxLine is room for evidence and endorsements of one request.
const maxLine = 16 << 20

// Request asks for a verdict. Byte strings are base64.
type Request struct {
	// Platform is sev-snp, tdx or nitro.
	Platform string `json:"platform"`
	Evidence []byte `json:"evidence"`
	// Endorsements by the names that docs/reference/attestation.md has for them.
	Endorsements map[string][]byte `json:"endorsements"`
	// Roots are certificates in DER; none stands for the vendor's own, which the library has in it.
	Roots [][]byte `json:"roots"`
	// Time is what is asked about, Unix seconds.
	Time int64 `json:"time"`
	// Repeat is how often to verify, for timings; 0 is once.
	Repeat int `json:"repeat"`
}

// at is the request's time.
func (r *Request) at() time.Time { return time.Unix(r.Time, 0).UTC() }

// Verdict is the answer to a request.
type Verdict struct {
	Accepted bool `json:"accepted"`
	// Why the evidence is refused.
	Why string `json:"why"`
	// Seconds of CPU time that a verification took, the mean of the repeats.
	Seconds float64 `json:"seconds"`
}

var verifiers = map[string]func(*Request) error{"sev-snp": verifySevSnp, "tdx": verifyTdx, "nitro": verifyNitro}

// attempt is one verification; a library's panic is a refusal that says so.
func attempt(request *Request) (err error) {
	defer func() {
		if found := recover(); found != nil {
			err = fmt.Errorf("the library panics: %v", found)
		}
	}()
	verifier, known := verifiers[request.Platform]
	if !known {
		return fmt.Errorf("there is no oracle for %q", request.Platform)
	}
	return verifier(request)
}

// cpuSeconds is what this process has used, its garbage collection included.
func cpuSeconds() float64 {
	usage := &syscall.Rusage{}
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, usage); err != nil {
		log.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano()).Seconds()
}

func judge(request *Request) Verdict {
	rounds := max(1, request.Repeat)
	start := cpuSeconds()
	var err error
	for range rounds {
		err = attempt(request)
	}
	verdict := Verdict{Accepted: err == nil, Seconds: (cpuSeconds() - start) / float64(rounds)}
	if err != nil {
		verdict.Why = err.Error()
	}
	return verdict
}

func main() {
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, maxLine)
	answers := json.NewEncoder(os.Stdout)
	for lines.Scan() {
		request := &Request{}
		if err := json.Unmarshal(lines.Bytes(), request); err != nil {
			log.Fatalf("a request that is no JSON: %v", err)
		}
		if err := answers.Encode(judge(request)); err != nil {
			log.Fatal(err)
		}
	}
	if err := lines.Err(); err != nil {
		log.Fatal(err)
	}
}
