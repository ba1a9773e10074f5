package main

import (
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/consensys/gnark-crypto/ecc"
	"github.com/consensys/gnark/backend/groth16"
	bls12381 "github.com/consensys/gnark/backend/groth16/bls12-381"
	bn254 "github.com/consensys/gnark/backend/groth16/bn254"
	"github.com/consensys/gnark/constraint"
	"github.com/consensys/gnark/frontend"
	"github.com/consensys/gnark/frontend/cs/r1cs"
)

// factors is the circuit of the vectors: two factors of a number, and what else is said of them.
type factors struct {
	Product frontend.Variable `gnark:",public"`
	Power   frontend.Variable `gnark:",public"`
	Tag     frontend.Variable `gnark:",public"`
	Left    frontend.Variable
	Right   frontend.Variable
}

// Define asks for Left·Right = Product, Left⁵ = Power and Left ≠ Tag.
func (c *factors) Define(api frontend.API) error {
	api.AssertIsEqual(api.Mul(c.Left, c.Right), c.Product)
	square := api.Mul(c.Left, c.Left)
	api.AssertIsEqual(api.Mul(square, square, c.Left), c.Power)
	api.AssertIsDifferent(c.Left, c.Tag)
	return nil
}

// claim is one statement with its proof, in hexadecimal: every signal 32 bytes big-endian, the proof a, b, c.
type claim struct {
	Signals []string `json:"signals"`
	Proof   string   `json:"proof"`
}

// vector is a verifying key of gnark's and proofs under it, in our encodings (docs/reference/encodings.md §4).
type vector struct {
	Curve       string  `json:"curve"`
	Gnark       string  `json:"gnark"`
	Crypto      string  `json:"gnark-crypto"`
	Constraints int     `json:"constraints"`
	Key         string  `json:"key"`
	Claims      []claim `json:"claims"`
}

// makeVector sets the circuit up and proves two witnesses; gnark verifies each proof before it is told.
func makeVector(curve string) (*vector, error) {
	identity, found := map[string]ecc.ID{"bn254": ecc.BN254, "bls12-381": ecc.BLS12_381}[curve]
	if !found {
		return nil, fmt.Errorf("there is no curve %q", curve)
	}
	system, err := frontend.Compile(identity.ScalarField(), r1cs.NewBuilder, &factors{})
	if err != nil {
		return nil, err
	}
	proving, key, err := groth16.Setup(system)
	if err != nil {
		return nil, err
	}
	keyBytes, err := encodeKey(key)
	if err != nil {
		return nil, err
	}
	names := versions()
	made := &vector{
		Curve: curve, Gnark: names["gnark"], Crypto: names["gnark-crypto"],
		Constraints: system.GetNbConstraints(), Key: hex.EncodeToString(keyBytes),
	}
	for _, assigned := range []*factors{
		{Product: 77, Power: 16807, Tag: 99, Left: 7, Right: 11},
		{Product: -6, Power: 243, Tag: -1, Left: 3, Right: -2},
	} {
		proven, err := proveClaim(identity, system, proving, key, assigned)
		if err != nil {
			return nil, err
		}
		made.Claims = append(made.Claims, proven)
	}
	return made, nil
}

func proveClaim(
	curve ecc.ID, system constraint.ConstraintSystem, proving groth16.ProvingKey, key groth16.VerifyingKey, assigned *factors,
) (found claim, err error) {
	all, err := frontend.NewWitness(assigned, curve.ScalarField())
	if err != nil {
		return found, err
	}
	public, err := all.Public()
	if err != nil {
		return found, err
	}
	proof, err := groth16.Prove(system, proving, all)
	if err != nil {
		return found, err
	}
	if err := groth16.Verify(proof, key, public); err != nil {
		return found, err
	}
	bytes, err := public.MarshalBinary()
	if err != nil {
		return found, err
	}
	// Three counts of 4 bytes come before the values.
	found.Signals = chunks(bytes[12:], wordBytes, hex.EncodeToString)
	encoded, has := proof.(interface{ MarshalSolidity() []byte })
	if !has {
		return found, errors.New("the proof has no encoding")
	}
	found.Proof = hex.EncodeToString(encoded.MarshalSolidity())
	return found, nil
}

// encodeKey gives our encoding of a key: the ABI's for BN254, the plain points for BLS12-381.
func encodeKey(key groth16.VerifyingKey) (out []byte, err error) {
	switch key := key.(type) {
	case *bn254.VerifyingKey:
		return keyABI(key), nil
	case *bls12381.VerifyingKey:
		alpha := key.G1.Alpha.RawBytes()
		out = append(out, alpha[:]...)
		beta, gamma, delta := key.G2.Beta.RawBytes(), key.G2.Gamma.RawBytes(), key.G2.Delta.RawBytes()
		out = append(append(append(out, beta[:]...), gamma[:]...), delta[:]...)
		for index := range key.G1.K {
			point := key.G1.K[index].RawBytes()
			out = append(out, point[:]...)
		}
		return out, nil
	}
	return nil, errors.New("there is no encoding of such a key")
}
