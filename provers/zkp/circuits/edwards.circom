pragma circom 2.1.6;

// Baby Jubjub (EIP-2494) in twisted Edwards form: 168700 x^2 + y^2 = 1 + 168696 x^2 y^2. 168700 is a square and 168696 is
// not, so 1 + d*x1*x2*y1*y2 and 1 - d*x1*x2*y1*y2 are never 0 for points of the curve: the laws below are complete.

template OnCurve() {
    signal input point[2];
    signal xx <== point[0] * point[0];
    signal yy <== point[1] * point[1];
    168696 * xx * yy === 168700 * xx + yy - 1;
}

// out = p + q for two points of the curve.
template EdwardsAdd() {
    signal input p[2];
    signal input q[2];
    signal output out[2];
    signal beta <== p[0] * q[1];
    signal gamma <== p[1] * q[0];
    signal delta <== (p[1] - 168700 * p[0]) * (q[0] + q[1]);
    signal tau <== beta * gamma;
    out[0] <-- (beta + gamma) / (1 + 168696 * tau);
    (1 + 168696 * tau) * out[0] === beta + gamma;
    out[1] <-- (delta + 168700 * beta - gamma) / (1 - 168696 * tau);
    (1 - 168696 * tau) * out[1] === delta + 168700 * beta - gamma;
}

// out = 2p for a point of the curve; a*x^2 is read off the curve's equation.
template EdwardsDouble() {
    signal input p[2];
    signal output out[2];
    signal product <== p[0] * p[1];
    signal tau <== product * product;
    signal yy <== p[1] * p[1];
    out[0] <-- 2 * product / (1 + 168696 * tau);
    (1 + 168696 * tau) * out[0] === 2 * product;
    out[1] <-- (2 * yy - 1 - 168696 * tau) / (1 - 168696 * tau);
    (1 - 168696 * tau) * out[1] === 2 * yy - 1 - 168696 * tau;
}
