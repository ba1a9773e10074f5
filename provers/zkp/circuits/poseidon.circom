pragma circom 2.1.6;

include "poseidon_constants.circom";

// Poseidon over BN254 with n inputs (USENIX Security 2021), in the form with sparse partial rounds; the constants are
// those of verifier/poseidon.py, written out by build.py. State elements between S-boxes are linear combinations, held in
// variables: only the three products of each S-box are signals.
template Poseidon(n) {
    signal input in[n];
    signal output out;
    var t = n + 1;
    var partial = POSEIDON_PARTIAL_ROUNDS(t);
    var matrix[t][t] = POSEIDON_MATRIX(t);
    var entry[t][t] = POSEIDON_ENTRY(t);
    var constants[8][t] = POSEIDON_CONSTANTS(t);
    var scalars[partial] = POSEIDON_SCALARS(t);
    var rows[partial][t] = POSEIDON_ROWS(t);
    var columns[partial][t - 1] = POSEIDON_COLUMNS(t);

    signal square[8][t];
    signal fourth[8][t];
    signal fifth[8][t];
    signal partialSquare[partial];
    signal partialFourth[partial];
    signal partialFifth[partial];

    var x[t];
    x[0] = 0;
    for (var i = 0; i < n; i++) {
        x[i + 1] = in[i];
    }
    for (var round = 0; round < 8; round++) {
        if (round == 4) {
            for (var k = 0; k < partial; k++) {
                partialSquare[k] <== (x[0] + scalars[k]) * (x[0] + scalars[k]);
                partialFourth[k] <== partialSquare[k] * partialSquare[k];
                partialFifth[k] <== partialFourth[k] * (x[0] + scalars[k]);
                var head = rows[k][0] * partialFifth[k];
                for (var i = 1; i < t; i++) {
                    head += rows[k][i] * x[i];
                    x[i] += columns[k][i - 1] * partialFifth[k];
                }
                x[0] = head;
            }
        }
        for (var i = 0; i < t; i++) {
            square[round][i] <== (x[i] + constants[round][i]) * (x[i] + constants[round][i]);
            fourth[round][i] <== square[round][i] * square[round][i];
            fifth[round][i] <== fourth[round][i] * (x[i] + constants[round][i]);
        }
        for (var i = 0; i < t; i++) {
            x[i] = 0;
            for (var j = 0; j < t; j++) {
                if (round == 3) {
                    x[i] += entry[i][j] * fifth[round][j];
                } else {
                    x[i] += matrix[i][j] * fifth[round][j];
                }
            }
        }
    }
    out <== x[0];
}
