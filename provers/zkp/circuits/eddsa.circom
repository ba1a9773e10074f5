pragma circom 2.1.6;

include "bits.circom";
include "curve_constants.circom";
include "edwards.circom";
include "poseidon.circom";

// EdDSA with Poseidon over Baby Jubjub (docs/reference/encodings.md, section 1.2): S*B8 = R8 + 8*h*A.
//
// The curve's group is Z/8 x Z/l (l prime). T is a fixed point of order 8. The long sums run in Montgomery form
// (v^2 = u^3 + 168698 u^2 + u), whose chord law fails for equal or opposite points and for the identity. No such case can
// come up, whatever the inputs: every term carries a multiple of T, chosen so that the two summands always lie in
// different classes of Z/8, up to sign, and none in class 0. With Q = -8A, of order l:
//   acc starts as Q + 2T (class 2); for bit i = 253 .. 1 of h: acc = (acc + P) + acc, P = +(Q + cT) for a 1, -(Q + cT)
//   for a 0, with c = 1 for odd i and c = 4 for even i:
//     odd i:  class 2 or 6, P in class 1 or 7, acc + P odd, result 4 +- 1: class 3 or 5;
//     even i: class 3 or 5, P in class 4, acc + P in class 7 or 1, result class 6 or 2;
//   the result is (h|1)*Q + cT, c = 5 when bit 1 of h is 1, else 3;
//   then 84 terms of S*B8, each with 4T: classes 3, 7, 3, .. or 5, 1, 5, .. against class 4; 84 * 4T is the identity.
// What remains is Edwards arithmetic, which is complete: acc = R8 + (Q where bit 0 of h is 0) + cT.
//
// S comes as 84 signed digits 1, 3, 5 or 7 of base 8, that is, an odd number V with |V| < 8^84 and V = S mod l. It needs
// no further range: whoever knows V knows the canonical S = V mod l, and S appears nowhere else. R8 needs no subgroup
// check: an accepted R8 equals S*B8 - 8*h*A.

// out = p + q in Montgomery form, for u(p) != u(q).
template MontgomeryAdd() {
    signal input p[2];
    signal input q[2];
    signal output out[2];
    signal slope;
    slope <-- (q[1] - p[1]) / (q[0] - p[0]);
    slope * (q[0] - p[0]) === q[1] - p[1];
    out[0] <== slope * slope - 168698 - p[0] - q[0];
    out[1] <== slope * (p[0] - out[0]) - p[1];
}

// out = (p + q) + p in Montgomery form, for p, q and p + q pairwise neither equal nor opposite; v(p + q) is never needed.
template MontgomeryDoubleAdd() {
    signal input p[2];
    signal input q[2];
    signal output out[2];
    signal slope;
    slope <-- (p[1] - q[1]) / (p[0] - q[0]);
    slope * (p[0] - q[0]) === p[1] - q[1];
    signal u <== slope * slope - 168698 - p[0] - q[0];
    signal second;
    second <-- 2 * p[1] / (p[0] - u) - slope;
    (second + slope) * (p[0] - u) === 2 * p[1];
    out[0] <== second * second - 168698 - u - p[0];
    out[1] <== second * (p[0] - out[0]) - p[1];
}

// Edwards to Montgomery, for points that are neither the identity nor of order 2: y != 1 and x != 0.
template ToMontgomery() {
    signal input in[2];
    signal output out[2];
    out[0] <-- (1 + in[1]) / (1 - in[1]);
    out[0] * (1 - in[1]) === 1 + in[1];
    out[1] <-- out[0] / in[0];
    out[1] * in[0] === out[0];
}

// Montgomery to Edwards, for points that are not of order 2: v != 0. u = -1 is on no point, since A - 2 is not a square.
template ToEdwards() {
    signal input in[2];
    signal output out[2];
    out[0] <-- in[0] / in[1];
    out[0] * in[1] === in[0];
    out[1] <-- (in[0] - 1) / (in[0] + 1);
    out[1] * (in[0] + 1) === in[0] - 1;
}

// out = (h|1) * q + cT in Montgomery form, c as above; q is of order l, in Edwards form.
template VariableBase() {
    signal input q[2];
    signal input h[254];
    signal output out[2];
    var shift[2][2] = CURVE_SHIFTS();  // T and 2T

    component plusTwo = EdwardsAdd();
    component plusOne = EdwardsAdd();
    component start = ToMontgomery();
    component odd = ToMontgomery();
    component even = ToMontgomery();
    plusOne.p <== q;
    plusOne.q <== shift[0];
    plusTwo.p <== q;
    plusTwo.q <== shift[1];
    odd.in <== plusOne.out;
    start.in <== plusTwo.out;
    even.in <== [-q[0], -q[1]];  // 4T = (0, -1), and (x, y) + (0, -1) = (-x, -y)
    component step[253];
    for (var k = 0; k < 253; k++) {
        var i = 253 - k;
        step[k] = MontgomeryDoubleAdd();
        if (k == 0) {
            step[k].p <== start.out;
        } else {
            step[k].p <== step[k - 1].out;
        }
        if (i % 2 == 1) {
            step[k].q[0] <== odd.out[0];
            step[k].q[1] <== (2 * h[i] - 1) * odd.out[1];
        } else {
            step[k].q[0] <== even.out[0];
            step[k].q[1] <== (2 * h[i] - 1) * even.out[1];
        }
    }
    out <== step[252].out;
}

// out = in + V*B8 in Montgomery form; `in` is in an odd class. digit[k] = (e0, e1, sign): V = sum of
// (2*sign - 1) * (2*(e0 + 2*e1) + 1) * 8^k. The table's entries carry 4T.
template FixedBase() {
    signal input in[2];
    signal input digit[84][3];
    signal output out[2];
    var table[84][2][4] = CURVE_BASE_TABLE();

    signal both[84];
    component add[84];
    for (var k = 0; k < 84; k++) {
        for (var j = 0; j < 3; j++) {
            digit[k][j] * (digit[k][j] - 1) === 0;
        }
        both[k] <== digit[k][0] * digit[k][1];
        var u = table[k][0][0] + table[k][0][1] * digit[k][0] + table[k][0][2] * digit[k][1] + table[k][0][3] * both[k];
        var v = table[k][1][0] + table[k][1][1] * digit[k][0] + table[k][1][2] * digit[k][1] + table[k][1][3] * both[k];
        add[k] = MontgomeryAdd();
        if (k == 0) {
            add[k].p <== in;
        } else {
            add[k].p <== add[k - 1].out;
        }
        add[k].q[0] <== u;
        add[k].q[1] <== (2 * digit[k][2] - 1) * v;
    }
    out <== add[83].out;
}

// Where enabled is 1: (r8, digits of S) signs m for the key. The key and r8 must be on the curve, and 8 times the key not
// the identity, even where enabled is 0 (a disabled slot takes B8 for both). That the key has no small-order part is
// checked where keys are registered (verifier/commitment.py, device_leaf): 8*A would hide it here.
template SignatureCheck() {
    signal input enabled;
    signal input key[2];
    signal input r8[2];
    signal input digit[84][3];
    signal input m;

    component keyOnCurve = OnCurve();
    component nonceOnCurve = OnCurve();
    component challenge = Poseidon(5);
    component eightfold[3];
    for (var i = 0; i < 3; i++) {
        eightfold[i] = EdwardsDouble();
    }
    keyOnCurve.point <== key;
    nonceOnCurve.point <== r8;
    eightfold[0].p <== key;
    eightfold[1].p <== eightfold[0].out;
    eightfold[2].p <== eightfold[1].out;
    for (var j = 0; j < 2; j++) {
        challenge.in[j] <== r8[j];
        challenge.in[2 + j] <== key[j];
    }
    challenge.in[4] <== m;
    component h = CanonicalBits();
    h.in <== challenge.out;

    signal q[2];
    q[0] <== -eightfold[2].out[0];
    q[1] <== eightfold[2].out[1];
    // Of order l and not the identity: x is 0 only for the identity and the point of order 2.
    signal inverse;
    inverse <-- 1 / q[0];
    inverse * q[0] === 1;

    component variable = VariableBase();
    component fixed = FixedBase();
    component sum = ToEdwards();
    component withKey = EdwardsAdd();
    component expected = EdwardsAdd();
    var torsion[2][2] = CURVE_TORSION();  // 3T and 5T
    variable.q <== q;
    variable.h <== h.out;
    fixed.in <== variable.out;
    fixed.digit <== digit;
    sum.in <== fixed.out;
    withKey.p <== r8;
    withKey.q[0] <== (1 - h.out[0]) * q[0];
    withKey.q[1] <== (1 - h.out[0]) * (q[1] - 1) + 1;
    expected.p <== withKey.out;
    for (var j = 0; j < 2; j++) {
        expected.q[j] <== torsion[0][j] + h.out[1] * (torsion[1][j] - torsion[0][j]);
    }
    for (var j = 0; j < 2; j++) {
        enabled * (sum.out[j] - expected.out[j]) === 0;
    }
}
