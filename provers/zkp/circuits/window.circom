pragma circom 2.1.6;

include "bits.circom";
include "eddsa.circom";
include "merkle.circom";
include "poseidon.circom";

// What every program proves about its window before it computes anything (docs/reference/encodings.md, sections 2 to 5):
// the enabled slots come first and are `count` signed readings of `projectId` by devices of the set with `deviceSetRoot`,
// strictly increasing in (device index, sequence), `readingsRoot` commits to them, and `missing` counts the sequences that
// lie between two of a device's readings and are not there. What cannot be proven, how the readings arrived
// (`duplicates`, `late`, `reordered`), is held to what is possible. The program passes the payload's
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
    signal input duplicates;
    signal input late;
    signal input reordered;
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
    signal output missing;

    // The digest is bound by being a public input; the ranges make it one pair of limbs, not several.
    component header = StatementRanges();
    header.digestHigh <== digestHigh;
    header.digestLow <== digestLow;
    header.projectId <== projectId;
    header.windowStart <== windowStart;
    header.windowEnd <== windowEnd;
    header.count <== count;
    header.duplicates <== duplicates;
    header.late <== late;
    header.reordered <== reordered;

    var total = 0;
    var skipped = 0;
    enabled[0] === 1;  // count >= 1
    for (var i = 1; i < capacity; i++) {
        enabled[i] * (enabled[i] - 1) === 0;
        enabled[i] * (1 - enabled[i - 1]) === 0;
    }
    component slot[capacity];
    component order[capacity];
    component same[capacity];
    signal gap[capacity];
    gap[0] <== 0;
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
            // Of one device, so the difference is that of the sequences: from 0 up to 2^64 - 2. A disabled slot's is 0.
            same[i] = IsZero();
            same[i].in <== deviceIndex[i] - deviceIndex[i - 1];
            gap[i] <== same[i].out * order[i].in;
            skipped += gap[i];
        }
    }
    // Fewer than 2^capacityDepth gaps below 2^64 each.
    component capped = Capped(64 + capacityDepth, 63);
    capped.in <== skipped;
    missing <== capped.out;
    total === count;
    readingsRoot <== tree.root;
}

// 128-bit digest limbs; 64-bit project; 0 < windowStart, windowStart + count + duplicates <= windowEnd < 2^64; count and
// duplicates below 2^32; late <= reordered <= count.
template StatementRanges() {
    signal input digestHigh;
    signal input digestLow;
    signal input projectId;
    signal input windowStart;
    signal input windowEnd;
    signal input count;
    signal input duplicates;
    signal input late;
    signal input reordered;
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
    component repeated = Bits(32);
    repeated.in <== duplicates;
    component room = Bits(64);
    room.in <== windowEnd - windowStart - count - duplicates;
    component tardy = Bits(32);
    tardy.in <== late;
    component behind = Bits(32);
    behind.in <== reordered - late;
    component inOrder = Bits(32);
    inOrder.in <== count - reordered;
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
