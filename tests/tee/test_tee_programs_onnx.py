"""The ONNX interpreter of WASM programs against ONNX's own test cases and its reference evaluator."""

from __future__ import annotations

import json
import os
import shutil
import struct
import subprocess
import warnings
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import ModelProto, TensorProto, helper, numpy_helper
from onnx.backend.test.case.node import collect_testcases
from onnx.reference import ReferenceEvaluator

from provers.programs import PROGRAMS
from provers.programs.vibration_classifier.make_model import MODEL

OPERATORS = ("Add", "ArgMax", "Cast", "Clip", "Div", "Flatten", "Gemm", "MatMul", "MatMulInteger", "Mul", "Relu", "Sub")
TYPES = {"float": "float32"}


@pytest.fixture(scope="session")
def evaluate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter as a program of this machine."""
    if shutil.which("cargo") is None:
        pytest.skip("cargo is not on PATH")
    target = tmp_path_factory.mktemp("evaluate")
    subprocess.run(
        ["cargo", "build", "--quiet", "--locked", "--package", "w3bstream-onnx", "--example", "evaluate"],
        cwd=PROGRAMS,
        env={**os.environ, "CARGO_TARGET_DIR": str(target)},
        check=True,
    )
    return target / "debug" / "examples" / "evaluate"


def run(evaluate: Path, folder: Path, model: bytes, inputs: Sequence[np.ndarray[Any, Any]]) -> list[Any] | str:
    """The interpreter's outputs, or why it refused."""
    (folder / "model.onnx").write_bytes(model)
    files = [folder / f"{index}.pb" for index in range(len(inputs))]
    for file, value in zip(files, inputs, strict=True):
        file.write_bytes(numpy_helper.from_array(np.asarray(value)).SerializeToString())
    command = [str(evaluate), str(folder / "model.onnx"), *map(str, files)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=20)
    if done.returncode:
        assert done.returncode == 1, f"it broke: {done.returncode} {done.stderr}"
        assert done.stderr
        assert "panicked" not in done.stderr
        return done.stderr
    outputs = []
    for line in done.stdout.splitlines():
        element, rest = line.split(" ", 1)
        shape, values = rest.split("] [", 1)
        numbers = json.loads("[" + values)
        if element == "float":
            numbers = [struct.unpack("<f", struct.pack("<I", number))[0] for number in numbers]
        array = np.array(numbers, dtype=TYPES.get(element, element))
        outputs.append(array.reshape(json.loads(shape + "]")))
    return outputs


def agrees(found: list[Any], expected: Sequence[Any]) -> bool:
    """Same types and shapes; integers equal, floats near."""
    return len(found) == len(expected) and all(
        ours.dtype == theirs.dtype
        and ours.shape == theirs.shape
        and np.allclose(
            ours, theirs, rtol=1e-5 if ours.dtype == np.float32 else 0, atol=1e-6 * (ours.dtype == np.float32)
        )
        for ours, theirs in zip(found, expected, strict=True)
    )


def capped(model: ModelProto) -> bytes:
    """The model under an opset that the interpreter reads; what the cases ask of its operators is the same in all."""
    for opset in model.opset_import:
        opset.version = max(13, min(opset.version, 21))
    return model.SerializeToString()


@cache
def official() -> list[Any]:
    """ONNX's own cases of our operators."""
    with warnings.catch_warnings():  # its cases of other operators divide by zero on purpose
        warnings.simplefilter("ignore", RuntimeWarning)
        cases = [case for case in collect_testcases(None) if case.model is not None]
    return [case for case in cases if {node.op_type for node in case.model.graph.node} <= set(OPERATORS)]


@pytest.mark.parametrize("operator", [name for name in OPERATORS if name not in ("Cast", "MatMulInteger")])
def test_onnx_own_cases_agree_or_are_refused(evaluate: Path, tmp_path: Path, operator: str) -> None:
    passed, refusals = [], []
    for case in official():
        if case.model.graph.node[0].op_type != operator:
            continue
        for inputs, outputs in case.data_sets:
            if not all(isinstance(value, np.ndarray | np.generic) for value in inputs):
                refusals.append(f"{case.name}: no plain tensor")
                continue
            found = run(evaluate, tmp_path, capped(case.model), inputs)
            if isinstance(found, str):
                refusals.append(f"{case.name}: {found}")
            else:
                assert agrees(found, outputs), f"{case.name}: {found} is not {outputs}"
                passed.append(case.name)
    assert passed, refusals


def layered(operators: Sequence[str], weights: np.ndarray[Any, Any], bias: np.ndarray[Any, Any]) -> ModelProto:
    """Gemm with a transposed B, then the operators, over floats."""
    nodes = [helper.make_node("Gemm", ["x", "w", "b"], ["v0"], transB=1, alpha=0.5, beta=2.0)]
    nodes += [helper.make_node(name, [f"v{i}"], [f"v{i + 1}"]) for i, name in enumerate(operators)]
    return helper.make_model(
        helper.make_graph(
            nodes,
            "layered",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", weights.shape[1]])],
            [helper.make_tensor_value_info(f"v{len(operators)}", TensorProto.UNDEFINED, None)],
            [numpy_helper.from_array(weights, "w"), numpy_helper.from_array(bias, "b")],
        ),
        opset_imports=[helper.make_opsetid("", 15)],
    )


@pytest.mark.parametrize("seed", range(5))
def test_layers_of_floats_agree_with_the_reference(evaluate: Path, tmp_path: Path, seed: int) -> None:
    generator = np.random.default_rng(seed)
    weights = generator.normal(size=(7, 11)).astype(np.float32)
    model = layered(["Relu", "Flatten"], weights, generator.normal(size=7).astype(np.float32))
    x = generator.normal(size=(3, 11)).astype(np.float32)
    found = run(evaluate, tmp_path, model.SerializeToString(), [x])
    assert not isinstance(found, str), found
    assert agrees(found, ReferenceEvaluator(model).run(None, {"x": x}))


@pytest.mark.parametrize("of", ["uint8", "int8"])
@pytest.mark.parametrize("by", ["uint8", "int8"])
def test_products_of_integers_agree_with_the_reference(evaluate: Path, tmp_path: Path, of: str, by: str) -> None:
    def model(*zero_points: str) -> ModelProto:
        types = {"a": of, "b": by, "za": of, "zb": by}
        names = ["a", "b", *zero_points]
        inputs = [
            helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(np.dtype(types[name])), None)
            for name in names
        ]
        output = helper.make_tensor_value_info("y", TensorProto.INT32, None)
        graph = helper.make_graph([helper.make_node("MatMulInteger", names, ["y"])], "product", inputs, [output])
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 15)])

    generator = np.random.default_rng(9)
    a, b = (generator.integers(0, 256, shape).astype(np.uint8) for shape in ((5, 31), (31, 6)))
    a, b = a.view(of), b.view(by)
    found = run(evaluate, tmp_path, model().SerializeToString(), [a, b])
    assert not isinstance(found, str), found
    assert agrees(found, ReferenceEvaluator(model()).run(None, {"a": a, "b": b}))
    zeros = [np.zeros((), of), np.zeros((), by)]
    assert agrees(list(run(evaluate, tmp_path, model("za", "zb").SerializeToString(), [a, b, *zeros])), found)
    shifted = run(evaluate, tmp_path, model("za", "zb").SerializeToString(), [a, b, np.array(3, of), zeros[1]])
    assert "zero points" in str(shifted)


@pytest.mark.parametrize("to", ["FLOAT", "UINT8", "INT8", "INT32", "INT64"])
@pytest.mark.parametrize("of", ["float32", "uint8", "int8", "int32", "int64"])
def test_casts_agree_with_the_reference_and_what_does_not_fit_is_refused(
    evaluate: Path, tmp_path: Path, of: str, to: str
) -> None:
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(of))
    graph = helper.make_graph(
        [helper.make_node("Cast", ["x"], ["y"], to=TensorProto.DataType.Value(to))],
        "cast",
        [helper.make_tensor_value_info("x", kind, ["n"])],
        [helper.make_tensor_value_info("y", TensorProto.DataType.Value(to), ["n"])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 15)])
    x = np.array([0, 1, 2.75, 127]).astype(of)
    found = run(evaluate, tmp_path, model.SerializeToString(), [x])
    assert not isinstance(found, str), found
    assert agrees(found, ReferenceEvaluator(model).run(None, {"x": x}))
    if (of, to) in (("float32", "INT8"), ("int32", "UINT8"), ("int64", "INT32"), ("float32", "INT64")):
        large = np.array([2**60]).astype(of) if of != "int32" else np.array([256], np.int32)
        assert "integer" in (why := str(run(evaluate, tmp_path, model.SerializeToString(), [large]))) or "fit" in why


def test_what_it_does_not_know_is_refused(evaluate: Path, tmp_path: Path) -> None:
    weights, bias = np.ones((2, 3), np.float32), np.zeros(2, np.float32)
    x = np.ones((1, 3), np.float32)
    unknown = layered(["Softmax"], weights, bias)
    assert "Softmax: the operator is not supported" in run(evaluate, tmp_path, unknown.SerializeToString(), [x])
    newer = layered([], weights, bias)
    newer.opset_import[0].version = 22
    assert "opset 22" in run(evaluate, tmp_path, newer.SerializeToString(), [x])
    foreign = layered(["Relu"], weights, bias)
    foreign.graph.node[1].domain = "com.example"
    assert "other domains" in run(evaluate, tmp_path, foreign.SerializeToString(), [x])
    wide = layered([], weights, bias)
    assert "columns meet" in run(evaluate, tmp_path, wide.SerializeToString(), [np.ones((1, 4), np.float32)])
    assert "takes 1 inputs" in run(evaluate, tmp_path, wide.SerializeToString(), [])


def test_a_broken_file_is_refused_and_never_a_panic(evaluate: Path, tmp_path: Path) -> None:
    whole = MODEL.read_bytes()
    x = np.zeros((1, 64), np.uint8)
    for end in range(0, len(whole), 173):
        assert isinstance(run(evaluate, tmp_path, whole[:end], [x]), str), f"{end} bytes"
    generator = np.random.default_rng(7)
    for _ in range(60):
        broken = bytearray(whole)
        for at in generator.integers(0, len(whole), 3):
            broken[at] ^= int(generator.integers(1, 256))
        run(evaluate, tmp_path, bytes(broken), [x])
