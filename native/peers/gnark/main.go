// Sums by gnark-crypto and proofs by gnark, one request a line on standard input, one answer a line.
//
// The requests, the answers and the files are those of the Rust program beside this folder (../src/main.rs). The
// threads are GOMAXPROCS, which the driver sets.
package main

import (
	"bufio"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"runtime/debug"

	"github.com/consensys/gnark/logger"
)

// request is one line of input; Do says which it is.
type request struct {
	Do      string `json:"do"`
	Library string `json:"library"`
	Group   string `json:"group"`
	Count   int    `json:"count"`
	Points  string `json:"points"`
	Scalars string `json:"scalars"`
	Memory  bool   `json:"memory"`
	R1CS    string `json:"r1cs"`
	Wtns    string `json:"wtns"`
	Key     string `json:"key"`
	Signals string `json:"signals"`
	Proof   string `json:"proof"`
	Curve   string `json:"curve"`
}

// session is what was loaded.
type session struct {
	inputs map[string]input
	prover *prover
}

func (s *session) answer(r request) (any, error) {
	switch r.Do {
	case "hello":
		return map[string]any{"versions": versions()}, nil
	case "load":
		loaded, err := load(r.Group, r.Points, r.Scalars)
		if err != nil {
			return nil, err
		}
		s.inputs[r.Group] = loaded
		return map[string]any{"count": loaded.count()}, nil
	case "sum":
		loaded, found := s.inputs[r.Group]
		if !found || r.Count > loaded.count() {
			return nil, errors.New("more than was loaded")
		}
		cost, sum, err := measured(r.Memory, func() ([]byte, error) { return loaded.sum(r.Count) })
		return reply{cost: cost, Sum: hex.EncodeToString(sum)}.fields(), err
	case "key":
		made, err := setUp(r.R1CS, r.Wtns)
		if err != nil {
			return nil, err
		}
		s.prover = made
		return map[string]any{"constraints": made.system.GetNbConstraints(), "key": hex.EncodeToString(keyABI(&made.key))}, nil
	case "prove":
		if s.prover == nil {
			return nil, errors.New("no key was made")
		}
		cost, proof, err := measured(false, s.prover.prove)
		return reply{cost: cost, Proof: hex.EncodeToString(proof)}.fields(), err
	case "verify":
		holds, err := verify(r.Key, r.Signals, r.Proof)
		return map[string]any{"holds": holds}, err
	case "vector":
		return makeVector(r.Curve)
	}
	return nil, fmt.Errorf("there is no request %q", r.Do)
}

func versions() map[string]string {
	found := map[string]string{}
	info, _ := debug.ReadBuildInfo()
	for _, module := range info.Deps {
		switch module.Path {
		case "github.com/consensys/gnark-crypto":
			found["gnark-crypto"] = module.Version
		case "github.com/consensys/gnark":
			found["gnark"] = module.Version
		}
	}
	found["go"] = info.GoVersion
	return found
}

func main() {
	logger.Disable()
	current := session{inputs: map[string]input{}}
	in := bufio.NewReader(os.Stdin)
	out := json.NewEncoder(os.Stdout)
	for {
		line, err := in.ReadBytes('\n')
		if err != nil {
			return
		}
		var asked request
		var answer any
		if err = json.Unmarshal(line, &asked); err == nil {
			answer, err = current.answer(asked)
		}
		if err != nil {
			answer = map[string]string{"error": err.Error()}
		}
		if err := out.Encode(answer); err != nil {
			return
		}
	}
}
