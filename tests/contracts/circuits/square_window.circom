pragma circom 2.1.0;

// Test only: the smallest circuit with the public signals of docs/reference/encodings.md §4 and the fewest output words: the completeness.
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
    signal output missing;
    signal output duplicates;
    signal output late;
    signal output reordered;

    readingsRoot <== secret * secret;
    missing <== secret * count;
    duplicates <== 1;
    late <== 2;
    reordered <== 3;
}

component main { public [digestHigh, digestLow, projectId, deviceSetRoot, windowStart, windowEnd, count] } = SquareWindow();
