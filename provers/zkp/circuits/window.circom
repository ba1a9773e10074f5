pragma circom 2.1.6;

include "bits.circom";
include "eddsa.circom";
include "merkle.circom";
include "poseidon.circom";

// What every program proves about its window before it computes anything (docs/reference/encodings.md, sections 2 to 5):
// the enabled slots come first and are `count` signed readings of `projectId` by devices of the set with `deviceSetRoot`,
// strictly increasing in (device index, sequence), and `readingsRoot` commits to them. The program passes the payload's
// fold of each slot and works on `enabled` and its own payload values. 2^capacityDepth slots, 2^deviceDepth devices.
template SignedWindow(capacityDepth, deviceDepth) {
    var capacity = 1 << capacityDepth;
    signal input digestHigh;
    signal input digestLow;
    signal input projectId;
    signal input deviceSetRoot;
    signal input windowStart;
    signal input windowEnd;
    signal input count;
    signal input enabled[capacity];
    signal input deviceIndex[capacity];
    signal input device[capacity];
    signal input publicKey[capacity][2];
    signal input devicePath[capacity][deviceDepth];
    signal input sequence[capacity];
    signal input timestamp[capacity];
    signal input fold[capacity];
    signal input r8[capacity][2];
    signal input digit[capacity][84][3];
    signal output readingsRoot;

    // The digest is bound by being a public input; the ranges make it one pair of limbs, not several.
    component header = StatementRanges();
    header.digestHigh <== digestHigh;
    header.digestLow <== digestLow;
    header.projectId <== projectId;
    header.windowStart <== windowStart;
    header.windowEnd <== windowEnd;
    header.count <== count;

    var total = 0;
    enabled[0] === 1;  // count >= 1
    for (var i = 1; i < capacity; i++) {
        enabled[i] * (enabled[i] - 1) === 0;
        enabled[i] * (1 - enabled[i - 1]) === 0;
    }
    component slot[capacity];
    component order[capacity];
    component tree = MerkleRoot(capacityDepth);
    for (var i = 0; i < capacity; i++) {
        total += enabled[i];
        slot[i] = SignedReading(deviceDepth);
        slot[i].enabled <== enabled[i];
        slot[i].projectId <== projectId;
        slot[i].deviceSetRoot <== deviceSetRoot;
        slot[i].deviceIndex <== deviceIndex[i];
        slot[i].device <== device[i];
        slot[i].sequence <== sequence[i];
        slot[i].timestamp <== timestamp[i];
        slot[i].fold <== fold[i];
        slot[i].key <== publicKey[i];
        slot[i].path <== devicePath[i];
        slot[i].r8 <== r8[i];
        slot[i].digit <== digit[i];
        tree.leaf[i] <== enabled[i] * slot[i].m;
        if (i > 0) {
            // Both positions are below 2^(64 + deviceDepth), so a difference below that bound is no wrapped one.
            order[i] = Bits(64 + deviceDepth);
            order[i].in <== enabled[i] * (slot[i].place - slot[i - 1].place - 1);
        }
    }
    total === count;
    readingsRoot <== tree.root;
}

// 128-bit digest limbs; 64-bit project; 0 < windowStart, windowStart + count <= windowEnd < 2^64; count below 2^32.
template StatementRanges() {
    signal input digestHigh;
    signal input digestLow;
    signal input projectId;
    signal input windowStart;
    signal input windowEnd;
    signal input count;
    component high = Bits(128);
    high.in <== digestHigh;
    component low = Bits(128);
    low.in <== digestLow;
    component project = Bits(64);
    project.in <== projectId;
    component start = Bits(64);
    start.in <== windowStart - 1;
    component end = Bits(64);
    end.in <== windowEnd;
    component counted = Bits(32);
    counted.in <== count;
    component room = Bits(64);
    room.in <== windowEnd - windowStart - count;
}

// One slot: m is the reading's message; where enabled is 1, it is signed by a device of the set. place orders slots.
template SignedReading(deviceDepth) {
    signal input enabled;
    signal input projectId;
    signal input deviceSetRoot;
    signal input deviceIndex;
    signal input device;
    signal input key[2];
    signal input path[deviceDepth];
    signal input sequence;
    signal input timestamp;
    signal input fold;
    signal input r8[2];
    signal input digit[84][3];
    signal output m;
    signal output place;

    component index = Bits(deviceDepth);
    index.in <== deviceIndex;
    component deviceBits = Bits(160);
    deviceBits.in <== device;
    component sequenceBits = Bits(64);
    sequenceBits.in <== sequence;
    component timestampBits = Bits(64);
    timestampBits.in <== timestamp;
    place <== deviceIndex * (1 << 64) + sequence;

    component message = Poseidon(5);
    message.in[0] <== projectId;
    message.in[1] <== device;
    message.in[2] <== sequence;
    message.in[3] <== timestamp;
    message.in[4] <== fold;
    m <== message.out;

    component leaf = Poseidon(3);
    leaf.in[0] <== device;
    leaf.in[1] <== key[0];
    leaf.in[2] <== key[1];
    component membership = MerklePath(deviceDepth);
    membership.leaf <== leaf.out;
    membership.position <== index.out;
    membership.sibling <== path;
    enabled * (membership.root - deviceSetRoot) === 0;

    component signature = SignatureCheck();
    signature.enabled <== enabled;
    signature.m <== m;
    signature.key <== key;
    signature.r8 <== r8;
    signature.digit <== digit;
}
