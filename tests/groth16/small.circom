pragma circom 2.1.6;

// A small circuit of every shape the prover must handle: an output, public inputs (one of them unused), private input
// arrays, bits, a product chain and an assertion that a wrong witness breaks.
template Small(n) {
    signal input factors[n];   // private, 16 bits each
    signal input limit;        // public
    signal input tag;          // public, in no constraint
    signal output product;

    signal chain[n + 1];
    signal bits[n][16];
    chain[0] <== 1;
    for (var i = 0; i < n; i++) {
        var sum = 0;
        for (var j = 0; j < 16; j++) {
            bits[i][j] <-- (factors[i] >> j) & 1;
            bits[i][j] * (bits[i][j] - 1) === 0;
            sum += bits[i][j] * 2 ** j;
        }
        sum === factors[i];
        chain[i + 1] <== chain[i] * factors[i];
    }
    product <== chain[n];
    signal difference;
    difference <== limit - factors[0];
    difference * difference === limit;
}

component main {public [limit, tag]} = Small(5);
