package main

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"os"

	"github.com/consensys/gnark-crypto/ecc"
	"github.com/consensys/gnark-crypto/ecc/bn254"
	"github.com/consensys/gnark-crypto/ecc/bn254/fp"
	"github.com/consensys/gnark-crypto/ecc/bn254/fr"
	groth16 "github.com/consensys/gnark/backend/groth16/bn254"
	"github.com/consensys/gnark/backend/witness"
	"github.com/consensys/gnark/constraint"
	cs "github.com/consensys/gnark/constraint/bn254"
)

// prover is gnark's Groth16 over a circom constraint system.
//
// gnark reads no .r1cs file; this puts the rows into gnark's own constraint system one by one, with the same terms, and
// numbers the wires as circom does, for gnark too puts the constant first, then the public ones. Every private wire is
// a secret input, so that gnark's solver has nothing to find and only checks.
type prover struct {
	system  *cs.R1CS
	witness witness.Witness
	proving groth16.ProvingKey
	key     groth16.VerifyingKey
}

// setUp reads the files and makes a key of gnark's own, for it cannot take snarkjs'.
func setUp(r1csPath, wtnsPath string) (*prover, error) {
	rows, err := os.ReadFile(r1csPath)
	if err != nil {
		return nil, err
	}
	values, err := os.ReadFile(wtnsPath)
	if err != nil {
		return nil, err
	}
	found := &prover{}
	public, err := found.readSystem(rows)
	if err != nil {
		return nil, err
	}
	if err := found.readWitness(values, public); err != nil {
		return nil, err
	}
	return found, groth16.Setup(found.system, &found.proving, &found.key)
}

func (p *prover) readSystem(bytes []byte) (public int, err error) {
	sections, err := readSections(bytes, "r1cs")
	if err != nil {
		return 0, err
	}
	header := cursor{bytes: sections[1]}
	header.take(4 + fr.Bytes)
	wires, outputs, inputs, _ := header.u32(), header.u32(), header.u32(), header.u32()
	header.take(8)
	constraints := header.u32()
	if header.failed || len(sections[2]) == 0 {
		return 0, errors.New("the .r1cs file ends early")
	}
	public = outputs + inputs
	p.system = cs.NewR1CS(constraints)
	p.system.AddPublicVariable("1")
	for wire := 1; wire < wires; wire++ {
		if wire <= public {
			p.system.AddPublicVariable(fmt.Sprint(wire))
		} else {
			p.system.AddSecretVariable(fmt.Sprint(wire))
		}
	}
	rows := cursor{bytes: sections[2]}
	blueprint := p.system.AddBlueprint(&constraint.BlueprintGenericR1C{})
	for range constraints {
		row := constraint.R1C{L: p.terms(&rows), R: p.terms(&rows), O: p.terms(&rows)}
		p.system.AddR1C(row, blueprint)
	}
	if rows.failed {
		return 0, errors.New("the .r1cs file's rows end early")
	}
	return public, nil
}

func (p *prover) terms(rows *cursor) constraint.LinearExpression {
	var found constraint.LinearExpression
	for range rows.u32() {
		wire := rows.u32()
		var value fr.Element
		value.SetBytes(bigEndian(rows.take(fr.Bytes)))
		var coefficient constraint.U64
		copy(coefficient[:], value[:])
		found = append(found, p.system.MakeTerm(coefficient, wire))
	}
	return found
}

func (p *prover) readWitness(bytes []byte, public int) error {
	sections, err := readSections(bytes, "wtns")
	if err != nil {
		return err
	}
	values := chunks(sections[2], fr.Bytes, readBnScalar)
	if len(values) != p.system.GetNbPublicVariables()+p.system.GetNbSecretVariables() {
		return fmt.Errorf("%d wires in the witness", len(values))
	}
	each := make(chan any)
	go func() {
		for _, value := range values[1:] {
			each <- value
		}
		close(each)
	}()
	if p.witness, err = witness.New(ecc.BN254.ScalarField()); err != nil {
		return err
	}
	return p.witness.Fill(public, len(values)-1-public, each)
}

// prove returns a proof: a, b, c, big-endian, G2 in EIP-197 order, 256 bytes.
func (p *prover) prove() ([]byte, error) {
	proof, err := groth16.Prove(p.system, &p.proving, p.witness)
	if err != nil {
		return nil, err
	}
	out := g1Words(&proof.Ar)
	out = append(out, g2Words(&proof.Bs)...)
	return append(out, g1Words(&proof.Krs)...), nil
}

// keyABI is the verifying key as our verifier reads it (docs/reference/encodings.md §4).
func keyABI(key *groth16.VerifyingKey) []byte {
	out := g1Words(&key.G1.Alpha)
	for _, point := range []*bn254.G2Affine{&key.G2.Beta, &key.G2.Gamma, &key.G2.Delta} {
		out = append(out, g2Words(point)...)
	}
	out = append(out, word(fixedBytes+wordBytes)...)
	out = append(out, word(len(key.G1.K))...)
	for index := range key.G1.K {
		out = append(out, g1Words(&key.G1.K[index])...)
	}
	return out
}

const (
	wordBytes  = 32
	fixedBytes = (2 + 3*4) * wordBytes
)

func word(value int) []byte {
	return binary.BigEndian.AppendUint64(make([]byte, wordBytes-8), uint64(value))
}

// words reads points from 32-byte words; what is missing is told at the end.
type words struct {
	cursor
}

func (w *words) coordinate() (value fp.Element) {
	value.SetBytes(w.take(wordBytes))
	return value
}

func (w *words) g1() bn254.G1Affine {
	return bn254.G1Affine{X: w.coordinate(), Y: w.coordinate()}
}

func (w *words) g2() (point bn254.G2Affine) {
	for _, part := range []*fp.Element{&point.X.A1, &point.X.A0, &point.Y.A1, &point.Y.A0} {
		*part = w.coordinate()
	}
	return point
}

// verify says whether gnark's verifier takes a proof under an ABI-encoded key, all in hexadecimal.
func verify(keyHex, signalsHex, proofHex string) (bool, error) {
	read := func(text string) words {
		bytes, err := hex.DecodeString(text)
		return words{cursor{bytes: bytes, failed: err != nil}}
	}
	keyWords, signals, proofWords := read(keyHex), read(signalsHex), read(proofHex)
	var key groth16.VerifyingKey
	key.G1.Alpha, key.G2.Beta, key.G2.Gamma, key.G2.Delta = keyWords.g1(), keyWords.g2(), keyWords.g2(), keyWords.g2()
	keyWords.take(2 * wordBytes)
	for len(keyWords.bytes) > 0 && !keyWords.failed {
		key.G1.K = append(key.G1.K, keyWords.g1())
	}
	var public fr.Vector
	for len(signals.bytes) > 0 && !signals.failed {
		var value fr.Element
		value.SetBytes(signals.take(wordBytes))
		public = append(public, value)
	}
	proof := groth16.Proof{Ar: proofWords.g1(), Bs: proofWords.g2(), Krs: proofWords.g1()}
	if keyWords.failed || signals.failed || proofWords.failed || len(proofWords.bytes) > 0 {
		return false, errors.New("the key, the signals or the proof have another length")
	}
	if err := key.Precompute(); err != nil {
		return false, err
	}
	return groth16.Verify(&proof, &key, public) == nil, nil
}

func g1Words(point *bn254.G1Affine) []byte {
	x, y := point.X.Bytes(), point.Y.Bytes()
	return append(x[:], y[:]...)
}

func g2Words(point *bn254.G2Affine) []byte {
	var out []byte
	for _, part := range []*fp.Element{&point.X.A1, &point.X.A0, &point.Y.A1, &point.Y.A0} {
		bytes := part.Bytes()
		out = append(out, bytes[:]...)
	}
	return out
}
