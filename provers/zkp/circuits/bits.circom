pragma circom 2.1.6;

// Range checks. A signal is a number modulo r (254 bits); every comparison below says why it cannot wrap.

// in = sum of out[i] * 2^i with boolean out[i]. For n <= 253 this also proves in < 2^n: 2^n - 1 < r, so the sum is the
// number itself and the bits are unique.
template Bits(n) {
    assert(n <= 253);
    signal input in;
    signal output out[n];
    var sum = 0;
    for (var i = 0; i < n; i++) {
        out[i] <-- (in >> i) & 1;
        out[i] * (out[i] - 1) === 0;
        sum += out[i] * (1 << i);
    }
    sum === in;
}

// The 254 bits of the number in [0, r) that `in` stands for. 254 free bits could also spell in + r; so the number is
// compared with c = r - 1 from the top: `matched` is 1 while every 1-bit of c has met a 1. Where c has a 0 and all above
// matched, the bit must be 0, else it must be boolean: both are (1 - matched - bit) * bit = 0.
template CanonicalBits() {
    signal input in;
    signal output out[254];
    var c = -1;
    signal matched[255];
    matched[254] <== 1;
    var sum = 0;
    for (var i = 253; i >= 0; i--) {
        out[i] <-- (in >> i) & 1;
        if ((c >> i) & 1 == 1) {
            out[i] * (out[i] - 1) === 0;
            matched[i] <== matched[i + 1] * out[i];
        } else {
            (1 - matched[i + 1] - out[i]) * out[i] === 0;
            matched[i] <== matched[i + 1];
        }
        sum += out[i] * (1 << i);
    }
    sum === in;
}

// out = 1 when a >= b, else 0, for a and b both in [0, 2^n), n <= 252: a - b + 2^n is in (0, 2^(n+1)) and its top bit
// says it.
template AtLeast(n) {
    assert(n <= 252);
    signal input a;
    signal input b;
    signal output out;
    component bits = Bits(n + 1);
    bits.in <== a - b + (1 << n);
    out <== bits.out[n];
}

// out = 1 when in is 0, else 0: in * out = 0 leaves only out = 0 where in is not 0. The last line gives `inverse` one value
// where in is 0, so that no wire is loose.
template IsZero() {
    signal input in;
    signal output out;
    signal inverse;
    inverse <-- in != 0 ? 1 / in : 0;
    out <== 1 - in * inverse;
    in * out === 0;
    inverse * out === 0;
}

// out = the smaller of in and 2^limit - 1, for in below 2^n, n <= 253 (proven here).
template Capped(n, limit) {
    signal input in;
    signal output out;
    var most = (1 << limit) - 1;
    component bits = Bits(n);
    bits.in <== in;
    var above = 0;
    for (var i = limit; i < n; i++) {
        above += bits.out[i] * (1 << (i - limit));
    }
    component fits = IsZero();
    fits.in <== above;
    out <== most + fits.out * (in - most);
}
