"""Train and quantise the vibration classifier: `python -m provers.programs.vibration_classifier.make_model`.

A machine's vibration, 64 samples of 8 bits, is one of four states. The data is synthetic (`windows` below): sines and
decaying impulses with noise, from a seeded generator. The network is trained in floating point and then quantised to
integers, so that every runtime, WASM and circuit alike, gets the same bits. Written: `vibration_classifier.onnx`
(opset 15). Training adds floats in the order that NumPy's library likes best, so another machine's file may differ
from the committed one; what is proven is the committed file.

Needs the packages of the `dev` group (numpy, onnx); nothing at run time imports this module.
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto, checker, helper

SAMPLES = 64
"""Samples of one window: 16 readings of 4."""
STATES = ("normal", "imbalance", "misalignment", "bearing")
"""What the machine may be in; the model's classes in order."""
WIDTHS = (SAMPLES, 32, 16, len(STATES))
MODEL = Path(__file__).with_name("vibration_classifier.onnx")
SEED = 20_261_122

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


def windows(generator: np.random.Generator, count: int) -> tuple[NDArray[np.uint8], Integers]:
    """`count` synthetic windows, (count, 64) samples around 128, and their states.

    Normal is noise with a weak turn of the shaft, four turns a window; imbalance a strong one; misalignment has twice
    its frequency; a worn bearing rings three times a window.
    """
    state = generator.integers(0, len(STATES), count)
    time = np.arange(SAMPLES) / SAMPLES
    phase = generator.uniform(0, 2 * np.pi, (count, 1))
    strength = generator.uniform(35, 70, (count, 1))
    turn = np.sin(2 * np.pi * 4 * time + phase)
    double = np.sin(2 * np.pi * 8 * time + 2 * phase)
    at = generator.uniform(0, SAMPLES / 3, (count, 1))
    since = (np.arange(SAMPLES) - at) % (SAMPLES / 3)
    ring = np.exp(-since / 3) * np.sin(2 * np.pi * since / 4)
    chosen = state[:, None]
    signal = np.where(chosen == 1, strength * turn, 8 * turn)
    signal += np.where(chosen == 2, strength * double, 0) + np.where(chosen == 3, 1.6 * strength * ring, 0)
    noisy = 128 + signal + generator.normal(0, 5, (count, SAMPLES))
    return np.clip(np.rint(noisy), 0, 255).astype(np.uint8), state


def train(samples: Floats, states: Integers, generator: np.random.Generator) -> list[tuple[Floats, Floats]]:
    """Weights and biases of each layer: a perceptron with rectifiers, cross-entropy, Adam (Kingma and Ba 2015)."""
    layers = [
        (generator.normal(0, np.sqrt(2 / wide), (wide, narrow)), np.zeros(narrow)) for wide, narrow in pairwise(WIDTHS)
    ]
    values = [array for layer in layers for array in layer]
    first, second = [np.zeros_like(v) for v in values], [np.zeros_like(v) for v in values]
    for step in range(1, 3001):
        chosen = generator.integers(0, len(samples), 256)
        kept = [samples[chosen]]
        for weights, bias in layers[:-1]:
            kept.append(np.maximum(kept[-1] @ weights + bias, 0))
        scores = kept[-1] @ layers[-1][0] + layers[-1][1]
        odds = np.exp(scores - scores.max(axis=1, keepdims=True))
        slope = odds / odds.sum(axis=1, keepdims=True)
        slope[np.arange(len(chosen)), states[chosen]] -= 1
        slope /= len(chosen)
        slopes: list[Floats] = []
        for (weights, _), before in zip(reversed(layers), reversed(kept), strict=True):
            slopes = [before.T @ slope, slope.sum(axis=0), *slopes]
            slope = (slope @ weights.T) * (before > 0)
        for i, change in enumerate(slopes):
            first[i] += 0.1 * (change - first[i])
            second[i] += 0.001 * (change**2 - second[i])
            values[i] -= 0.003 * (first[i] / (1 - 0.9**step)) / (np.sqrt(second[i] / (1 - 0.999**step)) + 1e-8)
    return layers


def quantise(
    layers: list[tuple[Floats, Floats]], samples: NDArray[np.uint8]
) -> list[tuple[NDArray[np.int8], NDArray[np.int32], int]]:
    """Each layer as (int8 weights, int32 bias, shift): activation = clip((x @ weights + bias) >> shift, 0, 255).

    The samples, some of the training's, say how far each layer's sums reach. The last layer's shift is 0: its sums are
    the scores.
    """
    made = []
    activation: Integers = samples.astype(np.int64)
    scale = 1 / 64
    for index, (weights, bias) in enumerate(layers):
        step = np.abs(weights * scale).max() / 127
        whole = np.rint(weights * scale / step).astype(np.int64)
        shifted = bias - (128 * scale * weights.sum(axis=0) if index == 0 else 0)
        offset = np.rint(shifted / step).astype(np.int64)
        sums = activation @ whole + offset
        last = index == len(layers) - 1
        shift = 0 if last else max(0, int(np.ceil(np.log2(np.percentile(sums, 99.9) / 256))))
        made.append((whole.astype(np.int8), offset.astype(np.int32), shift))
        activation = np.clip(sums >> shift, 0, 255)
        scale = step * 2**shift
    return made


def graph(layers: list[tuple[NDArray[np.int8], NDArray[np.int32], int]]) -> bytes:
    """The ONNX file: MatMulInteger, Add, Clip, Div and Cast for each layer; the last ends in scores and ArgMax."""
    nodes, constants, name = [], [], "samples"
    for index, (weights, bias, shift) in enumerate(layers):
        constants += [
            helper.make_tensor(f"weights{index}", TensorProto.INT8, weights.shape, weights.tobytes(), raw=True),
            helper.make_tensor(f"bias{index}", TensorProto.INT32, bias.shape, bias.tobytes(), raw=True),
        ]
        last = index == len(layers) - 1
        sums = "scores" if last else f"sums{index}"
        nodes += [
            helper.make_node("MatMulInteger", [name, f"weights{index}"], [f"products{index}"]),
            helper.make_node("Add", [f"products{index}", f"bias{index}"], [sums]),
        ]
        if not last:
            bounds = {"low": 0, "high": (256 << shift) - 1, "unit": 1 << shift}
            constants += [helper.make_tensor(f"{k}{index}", TensorProto.INT32, [], [v]) for k, v in bounds.items()]
            nodes += [
                helper.make_node("Clip", [sums, f"low{index}", f"high{index}"], [f"clipped{index}"]),
                helper.make_node("Div", [f"clipped{index}", f"unit{index}"], [f"level{index}"]),
                helper.make_node("Cast", [f"level{index}"], [f"active{index}"], to=TensorProto.UINT8),
            ]
            name = f"active{index}"
    nodes.append(helper.make_node("ArgMax", ["scores"], ["state"], axis=1, keepdims=0))
    body = helper.make_graph(
        nodes,
        "vibration_classifier",
        [helper.make_tensor_value_info("samples", TensorProto.UINT8, [1, SAMPLES])],
        [
            helper.make_tensor_value_info("state", TensorProto.INT64, [1]),
            helper.make_tensor_value_info("scores", TensorProto.INT32, [1, len(STATES)]),
        ],
        constants,
    )
    model = helper.make_model(
        body, producer_name="w3bstream", ir_version=8, opset_imports=[helper.make_opsetid("", 15)]
    )
    checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString())


def main() -> None:
    """Write the model and print how often it is right on windows that it has not seen."""
    generator = np.random.default_rng(SEED)
    samples, states = windows(generator, 20_000)
    layers = train((samples.astype(np.float64) - 128) / 64, states, generator)
    whole = quantise(layers, samples[:4000])
    unseen, truth = windows(generator, 5000)
    value: Integers = unseen.astype(np.int64)
    for weights, bias, shift in whole[:-1]:
        value = np.clip((value @ weights.astype(np.int64) + bias) >> shift, 0, 255)
    guesses = (value @ whole[-1][0].astype(np.int64) + whole[-1][1]).argmax(axis=1)
    data = graph(whole)
    MODEL.write_bytes(data)
    print(f"{MODEL.name}: {len(data)} bytes, {100 * np.mean(guesses == truth):.2f} % of {len(truth)} new windows right")


if __name__ == "__main__":
    main()
