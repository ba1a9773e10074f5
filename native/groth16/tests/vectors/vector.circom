pragma circom 2.1.6;

// The vectors' circuit: an output, a public input that a row uses, one that none does, bits, and a negative coefficient.
template Vector() {
    signal input value;   // private, 4 bits
    signal input limit;   // public
    signal input tag;     // public, in no constraint
    signal output product;
    signal bits[4];
    var sum = 0;
    for (var i = 0; i < 4; i++) {
        bits[i] <-- (value >> i) & 1;
        bits[i] * (bits[i] - 1) === 0;
        sum += bits[i] * 2 ** i;
    }
    sum === value;
    product <== (value + 3) * (limit - 2 * value);
}

component main {public [limit, tag]} = Vector();
