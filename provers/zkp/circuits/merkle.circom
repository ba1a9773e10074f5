pragma circom 2.1.6;

include "poseidon.circom";

// Root of the binary tree that has `leaf` at the position whose bits are `position` (lowest first, each boolean, checked
// by the caller) and `sibling` beside the path, from the leaf up.
template MerklePath(depth) {
    signal input leaf;
    signal input position[depth];
    signal input sibling[depth];
    signal output root;
    signal left[depth];
    component node[depth];
    for (var i = 0; i < depth; i++) {
        var current = leaf;
        if (i > 0) {
            current = node[i - 1].out;
        }
        left[i] <== current + position[i] * (sibling[i] - current);
        node[i] = Poseidon(2);
        node[i].in[0] <== left[i];
        node[i].in[1] <== current + sibling[i] - left[i];
    }
    root <== node[depth - 1].out;
}

// Root of the binary tree over 2^depth leaves.
template MerkleRoot(depth) {
    signal input leaf[1 << depth];
    signal output root;
    var size = 1 << depth;
    component node[size - 1];
    // node[i] has the children 2i + 1 and 2i + 2; those past the inner nodes are the leaves in order.
    for (var i = size - 2; i >= 0; i--) {
        node[i] = Poseidon(2);
        for (var j = 0; j < 2; j++) {
            var child = 2 * i + 1 + j;
            if (child >= size - 1) {
                node[i].in[j] <== leaf[child - (size - 1)];
            } else {
                node[i].in[j] <== node[child].out;
            }
        }
    }
    root <== node[0].out;
}
