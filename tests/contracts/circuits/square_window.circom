pragma circom 2.1.0;

// Test only: the smallest circuit with the public signals of docs/reference/encodings.md §4 and one output word.
// The digest signals appear in no constraint of the circuit: the set-up must bind them all the same.
template SquareWindow() {
    signal input digestHigh;
    signal input digestLow;
    signal input projectId;
    signal input deviceSetRoot;
    signal input windowStart;
    signal input windowEnd;
    signal input count;
    signal input secret;
    signal output readingsRoot;
    signal output word;

    readingsRoot <== secret * secret;
    word <== secret * count;
}

component main { public [digestHigh, digestLow, projectId, deviceSetRoot, windowStart, windowEnd, count] } = SquareWindow();
