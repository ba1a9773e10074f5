pragma circom 2.1.6;

include "bits.circom";
include "poseidon.circom";
include "window.circom";

// The sample program (docs/reference/encodings.md, section 5): count, sum, minimum and maximum of the window's int32
// payloads, and the window's completeness, which ends every program's outputs. `value` is the payload plus 2^31, in [0, 2^32), and 0 in a disabled slot. The public signals come in the order
// of section 4: outputs as declared, then public inputs as declared.
template TemperatureWindow(capacityDepth, deviceDepth) {
    var capacity = 1 << capacityDepth;
    signal output readingsRoot;
    signal output outputCount;
    signal output sum;
    signal output minimum;
    signal output maximum;
    signal output missing;
    signal output outputDuplicates;
    signal output outputLate;
    signal output outputReordered;

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
    signal input value[capacity];
    signal input r8[capacity][2];
    signal input digit[capacity][84][3];

    component window = SignedWindow(capacityDepth, deviceDepth);
    window.digestHigh <== digestHigh;
    window.digestLow <== digestLow;
    window.projectId <== projectId;
    window.deviceSetRoot <== deviceSetRoot;
    window.windowStart <== windowStart;
    window.windowEnd <== windowEnd;
    window.count <== count;
    window.duplicates <== duplicates;
    window.late <== late;
    window.reordered <== reordered;
    window.enabled <== enabled;
    window.deviceIndex <== deviceIndex;
    window.device <== device;
    window.publicKey <== publicKey;
    window.devicePath <== devicePath;
    window.sequence <== sequence;
    window.timestamp <== timestamp;
    window.r8 <== r8;
    window.digit <== digit;

    component bits[capacity];
    component fold[capacity];
    component above[capacity];
    component below[capacity];
    signal lower[capacity];
    signal least[capacity];
    signal greatest[capacity];
    least[0] <== value[0];
    greatest[0] <== value[0];
    var total = 0;
    for (var i = 0; i < capacity; i++) {
        total += value[i];
        bits[i] = Bits(32);
        bits[i].in <== value[i];
        (1 - enabled[i]) * value[i] === 0;
        fold[i] = Poseidon(2);
        fold[i].in[0] <== 4;
        // Two's complement: the payload plus 2^31 with its top bit turned over.
        fold[i].in[1] <== value[i] + (1 << 31) - (1 << 32) * bits[i].out[31];
        window.fold[i] <== fold[i].out;
        if (i > 0) {
            above[i] = AtLeast(32);
            above[i].a <== value[i];
            above[i].b <== least[i - 1];
            lower[i] <== enabled[i] * (1 - above[i].out);
            least[i] <== least[i - 1] + lower[i] * (value[i] - least[i - 1]);
            // A disabled slot's value is 0, which is never above a maximum, so it needs no gate here.
            below[i] = AtLeast(32);
            below[i].a <== greatest[i - 1];
            below[i].b <== value[i];
            greatest[i] <== value[i] + below[i].out * (greatest[i - 1] - value[i]);
        }
    }
    readingsRoot <== window.readingsRoot;
    outputCount <== count;
    // Back from biased to signed: a negative number n is the field element r - |n|.
    sum <== total - count * (1 << 31);
    minimum <== least[capacity - 1] - (1 << 31);
    maximum <== greatest[capacity - 1] - (1 << 31);
    missing <== window.missing;
    outputDuplicates <== duplicates;
    outputLate <== late;
    outputReordered <== reordered;
}

component main {public [digestHigh, digestLow, projectId, deviceSetRoot, windowStart, windowEnd, count]} =
    TemperatureWindow(4, 10);
