package main

import (
	"fmt"
	"os"
	"runtime"
	"slices"

	"github.com/consensys/gnark-crypto/ecc"
	bls12381 "github.com/consensys/gnark-crypto/ecc/bls12-381"
	blsfp "github.com/consensys/gnark-crypto/ecc/bls12-381/fp"
	blsfr "github.com/consensys/gnark-crypto/ecc/bls12-381/fr"
	"github.com/consensys/gnark-crypto/ecc/bn254"
	bnfp "github.com/consensys/gnark-crypto/ecc/bn254/fp"
	bnfr "github.com/consensys/gnark-crypto/ecc/bn254/fr"
)

const scalarBytes = 32

// input is the points and scalars of one group in gnark-crypto's form.
type input interface {
	count() int
	// sum of the first points by MultiExp, as a point lies in a file.
	sum(count int) ([]byte, error)
}

// bigEndian returns the bytes the other way round: files are little-endian, gnark's canonical bytes are not.
func bigEndian(bytes []byte) []byte {
	found := slices.Clone(bytes)
	slices.Reverse(found)
	return found
}

// load reads the files of one group.
func load(group, pointsPath, scalarsPath string) (input, error) {
	points, err := os.ReadFile(pointsPath)
	if err != nil {
		return nil, err
	}
	scalars, err := os.ReadFile(scalarsPath)
	if err != nil {
		return nil, err
	}
	switch group {
	case "bn254-g1":
		found := bnG1{points: chunks(points, 2*bnfp.Bytes, readBnG1), scalars: chunks(scalars, scalarBytes, readBnScalar)}
		return found, same(len(found.points), len(found.scalars))
	case "bn254-g2":
		found := bnG2{points: chunks(points, 4*bnfp.Bytes, readBnG2), scalars: chunks(scalars, scalarBytes, readBnScalar)}
		return found, same(len(found.points), len(found.scalars))
	case "bls12-381-g1":
		found := blsG1{points: chunks(points, 2*blsfp.Bytes, readBlsG1), scalars: chunks(scalars, scalarBytes, readBlsScalar)}
		return found, same(len(found.points), len(found.scalars))
	case "bls12-381-g2":
		found := blsG2{points: chunks(points, 4*blsfp.Bytes, readBlsG2), scalars: chunks(scalars, scalarBytes, readBlsScalar)}
		return found, same(len(found.points), len(found.scalars))
	}
	return nil, fmt.Errorf("there is no group %q", group)
}

func same(points, scalars int) error {
	if points != scalars {
		return fmt.Errorf("%d points for %d scalars", points, scalars)
	}
	return nil
}

func chunks[T any](bytes []byte, size int, read func([]byte) T) []T {
	found := make([]T, 0, len(bytes)/size)
	for chunk := range slices.Chunk(bytes, size) {
		found = append(found, read(chunk))
	}
	return found
}

func config() ecc.MultiExpConfig {
	return ecc.MultiExpConfig{NbTasks: runtime.GOMAXPROCS(0)}
}

type bnG1 struct {
	points  []bn254.G1Affine
	scalars []bnfr.Element
}

func readBnScalar(bytes []byte) (value bnfr.Element) {
	value.SetBytes(bigEndian(bytes))
	return value
}

func readBnCoordinate(bytes []byte) (value bnfp.Element) {
	value.SetBytes(bigEndian(bytes[:bnfp.Bytes]))
	return value
}

func readBnG1(bytes []byte) bn254.G1Affine {
	return bn254.G1Affine{X: readBnCoordinate(bytes), Y: readBnCoordinate(bytes[bnfp.Bytes:])}
}

func bnBytes(values ...*bnfp.Element) (out []byte) {
	for _, value := range values {
		bytes := value.Bytes()
		out = append(out, bigEndian(bytes[:])...)
	}
	return out
}

func (g bnG1) count() int { return len(g.points) }

func (g bnG1) sum(count int) ([]byte, error) {
	var sum bn254.G1Affine
	_, err := sum.MultiExp(g.points[:count], g.scalars[:count], config())
	return bnBytes(&sum.X, &sum.Y), err
}

type bnG2 struct {
	points  []bn254.G2Affine
	scalars []bnfr.Element
}

func readBnG2(bytes []byte) (point bn254.G2Affine) {
	parts := chunks(bytes, bnfp.Bytes, readBnCoordinate)
	point.X.A0, point.X.A1, point.Y.A0, point.Y.A1 = parts[0], parts[1], parts[2], parts[3]
	return point
}

func (g bnG2) count() int { return len(g.points) }

func (g bnG2) sum(count int) ([]byte, error) {
	var sum bn254.G2Affine
	_, err := sum.MultiExp(g.points[:count], g.scalars[:count], config())
	return bnBytes(&sum.X.A0, &sum.X.A1, &sum.Y.A0, &sum.Y.A1), err
}

type blsG1 struct {
	points  []bls12381.G1Affine
	scalars []blsfr.Element
}

func readBlsScalar(bytes []byte) (value blsfr.Element) {
	value.SetBytes(bigEndian(bytes))
	return value
}

func readBlsCoordinate(bytes []byte) (value blsfp.Element) {
	value.SetBytes(bigEndian(bytes[:blsfp.Bytes]))
	return value
}

func readBlsG1(bytes []byte) bls12381.G1Affine {
	return bls12381.G1Affine{X: readBlsCoordinate(bytes), Y: readBlsCoordinate(bytes[blsfp.Bytes:])}
}

func blsBytes(values ...*blsfp.Element) (out []byte) {
	for _, value := range values {
		bytes := value.Bytes()
		out = append(out, bigEndian(bytes[:])...)
	}
	return out
}

func (g blsG1) count() int { return len(g.points) }

func (g blsG1) sum(count int) ([]byte, error) {
	var sum bls12381.G1Affine
	_, err := sum.MultiExp(g.points[:count], g.scalars[:count], config())
	return blsBytes(&sum.X, &sum.Y), err
}

type blsG2 struct {
	points  []bls12381.G2Affine
	scalars []blsfr.Element
}

func readBlsG2(bytes []byte) (point bls12381.G2Affine) {
	parts := chunks(bytes, blsfp.Bytes, readBlsCoordinate)
	point.X.A0, point.X.A1, point.Y.A0, point.Y.A1 = parts[0], parts[1], parts[2], parts[3]
	return point
}

func (g blsG2) count() int { return len(g.points) }

func (g blsG2) sum(count int) ([]byte, error) {
	var sum bls12381.G2Affine
	_, err := sum.MultiExp(g.points[:count], g.scalars[:count], config())
	return blsBytes(&sum.X.A0, &sum.X.A1, &sum.Y.A0, &sum.Y.A1), err
}
