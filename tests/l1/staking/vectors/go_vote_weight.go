// Writes go_vote_weight.txt: the float64 arithmetic of iotex-core staking/vote_bucket.go CalculateVoteWeight.
// A line `days a b c` holds the 52 fraction bits of the weight without auto-stake, with it, and with self-stake too;
// a line `votes amount days auto self v` the votes.
package main

import (
	"fmt"
	"math"
	"math/big"
	"time"
)

func weight(days int, auto, self bool) float64 {
	d := time.Duration(days) * 24 * time.Hour
	remainingTime := d.Seconds()
	w := float64(1)
	var m float64
	if auto {
		m = 1
	}
	if remainingTime > 0 {
		w += math.Log(math.Ceil(remainingTime/86400)*(1+m)) / math.Log(1.2) / 100
	}
	if self && auto && d >= time.Duration(91)*24*time.Hour {
		w *= 1.06
	}
	return w
}

func votes(amount string, w float64) string {
	a, _ := new(big.Int).SetString(amount, 10)
	f := new(big.Float).SetInt(a)
	v, _ := f.Mul(f, big.NewFloat(w)).Int(nil)
	return v.String()
}

func main() {
	for d := 0; d <= 1050; d++ {
		fmt.Printf("%d %013x %013x %013x\n", d, math.Float64bits(weight(d, false, false))&(1<<52-1), math.Float64bits(weight(d, true, false))&(1<<52-1), math.Float64bits(weight(d, true, true))&(1<<52-1))
	}
	for _, a := range []string{"1200000000000000000000000", "100000000000000000000", "123456789012345678901234567", "1", "400000000000000000000001"} {
		for _, d := range []int{0, 1, 7, 91, 350, 1050} {
			for _, f := range [][2]bool{{false, false}, {true, false}, {true, true}} {
				fmt.Printf("votes %s %d %t %t %s\n", a, d, f[0], f[1], votes(a, weight(d, f[0], f[1])))
			}
		}
	}
}
