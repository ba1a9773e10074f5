pragma circom 2.1.6;

include "bits.circom";
include "weights.circom";

// The vibration classifier as a circuit: integers throughout, so its outputs are those of vibration_classifier.onnx to the
// bit. `weights.circom` is written from the .onnx file: the weights are constants, so a product with one costs nothing.

// Layer: out[j] = min(255, max(0, sum) >> shift) with sum = bias[j] + sum of in[i] * weights[i][j], for |sum| < 2^reach.
template Layer(inputs, outputs, weights, bias, shift, reach) {
    signal input in[inputs];
    signal output out[outputs];
    component bits[outputs];
    component fits[outputs];
    signal level[outputs];
    for (var j = 0; j < outputs; j++) {
        var sum = bias[j];
        for (var i = 0; i < inputs; i++) {
            sum += in[i] * weights[i][j];
        }
        // The top bit of sum + 2^reach says that sum is not negative; the others are then sum's own.
        bits[j] = Bits(reach + 1);
        bits[j].in <== sum + (1 << reach);
        var low = 0;
        var above = 0;
        for (var b = shift; b < reach; b++) {
            if (b < shift + 8) {
                low += bits[j].out[b] * (1 << (b - shift));
            } else {
                above += bits[j].out[b] * (1 << (b - shift - 8));
            }
        }
        fits[j] = IsZero();
        fits[j].in <== above;
        level[j] <== 255 + fits[j].out * (low - 255);
        out[j] <== bits[j].out[reach] * level[j];
    }
}

// index = the first of the greatest of in, for |in| < 2^reach.
template FirstGreatest(count, reach) {
    signal input in[count];
    signal output index;
    component keeps[count];
    signal greatest[count];
    signal place[count];
    greatest[0] <== in[0];
    place[0] <== 0;
    for (var i = 1; i < count; i++) {
        keeps[i] = AtLeast(reach + 1);
        keeps[i].a <== greatest[i - 1] + (1 << reach);
        keeps[i].b <== in[i] + (1 << reach);
        greatest[i] <== in[i] + keeps[i].out * (greatest[i - 1] - in[i]);
        place[i] <== i + keeps[i].out * (place[i - 1] - i);
    }
    index <== place[count - 1];
}

// `packed` are the 64 samples, 31 in a number and the first lowest; they are public, the state and the scores too.
template Classifier(reach) {
    signal output state;
    signal output scores[4];
    signal input packed[3];
    signal input samples[64];
    component range[64];
    var sums[3];
    for (var i = 0; i < 64; i++) {
        range[i] = Bits(8);
        range[i].in <== samples[i];
        sums[i \ 31] += samples[i] * (1 << (8 * (i % 31)));
    }
    for (var i = 0; i < 3; i++) {
        packed[i] === sums[i];
    }
    component first = Layer(64, 32, weights0(), bias0(), shift0(), reach);
    component second = Layer(32, 16, weights1(), bias1(), shift1(), reach);
    component best = FirstGreatest(4, reach);
    first.in <== samples;
    second.in <== first.out;
    var last[16][4] = weights2();
    var offset[4] = bias2();
    for (var j = 0; j < 4; j++) {
        var sum = offset[j];
        for (var i = 0; i < 16; i++) {
            sum += second.out[i] * last[i][j];
        }
        scores[j] <== sum;
        best.in[j] <== sum;
    }
    state <== best.index;
}

// 64 inputs of 255 with weights of 127 and a bias below 2^20 stay below 2^22.
component main {public [packed]} = Classifier(22);
