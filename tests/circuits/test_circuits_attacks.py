"""Attacks on the program. Each is tried twice: the witness calculator must refuse the inputs, and a witness forced by
a copy of the program without its checks must break the committed constraints, at the check that stands against it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from provers.programs import CircuitInputs
from provers.programs.window import signature_digits
from provers.zkp.circuits.constants import torsion_points
from provers.zkp.witness import WitnessCalculator
from tests.circuits.conftest import Attack, Compiled
from tests.circuits.r1cs import witness_values
from tests.circuits.test_circuits_program import inputs_of
from tests.circuits.window_task import KEYS, key, reading, task
from verifier import babyjubjub as curve
from verifier.errors import Refused
from verifier.field import R
from verifier.poseidon import poseidon
from verifier.reading import DeviceKey

SIZES = {"publicKey": 2, "devicePath": 10, "r8": 2, "digit": 252}
SLOT = ("enabled", "deviceIndex", "device", "publicKey", "devicePath", "sequence", "timestamp", "value", "r8", "digit")
COUNT = 5


def honest() -> CircuitInputs:
    return inputs_of(task([reading(i, 10 + i, 1000 - 300 * i) for i in range(COUNT)]))


def get(inputs: CircuitInputs, name: str, slot: int) -> list[int]:
    values, size = inputs[name], SIZES.get(name, 1)
    assert isinstance(values, list)
    return values[slot * size : (slot + 1) * size]


def put(inputs: CircuitInputs, name: str, slot: int, new: list[int]) -> None:
    values, size = inputs[name], SIZES.get(name, 1)
    assert isinstance(values, list)
    assert len(new) == size
    values[slot * size : (slot + 1) * size] = new


def copy_slot(inputs: CircuitInputs, source: int, target: int, names: tuple[str, ...] = SLOT) -> None:
    for name in names:
        put(inputs, name, target, get(inputs, name, source))


def public(inputs: CircuitInputs, name: str) -> int:
    value = inputs[name]
    assert isinstance(value, int)
    return value


def scalar_and_nonce(signer: DeviceKey, m: int) -> tuple[list[int], list[int]]:
    parts = curve.decode_signature(curve.sign(signer.private_key, m))
    assert parts is not None
    return list(parts[0]), signature_digits(parts[1])


def resign(inputs: CircuitInputs, slot: int, signer: DeviceKey) -> None:
    """The device signs whatever the slot holds, in range or not, as a dishonest device can."""
    value = get(inputs, "value", slot)[0]
    raw = value + (1 << 31) - (1 << 32) * (value >> 31 & 1)
    fold = poseidon((4, raw % R))
    place = [get(inputs, name, slot)[0] % R for name in ("device", "sequence", "timestamp")]
    r8, digits = scalar_and_nonce(signer, poseidon((public(inputs, "projectId") % R, *place, fold)))
    put(inputs, "r8", slot, r8)
    put(inputs, "digit", slot, digits)


def single_device_root(inputs: CircuitInputs, slot: int) -> int:
    """Root of a device set that holds the slot's key at index 0 and nothing else."""
    node = poseidon((get(inputs, "device", slot)[0], *get(inputs, "publicKey", slot)))
    for sibling in get(inputs, "devicePath", slot):
        node = poseidon((node, sibling))
    return node


def forged_scalar(inputs: CircuitInputs) -> None:
    digits = get(inputs, "digit", 2)
    digits[7] ^= 1
    put(inputs, "digit", 2, digits)


def forged_nonce(inputs: CircuitInputs) -> None:
    put(inputs, "r8", 2, list(curve.B8))


def changed_value(inputs: CircuitInputs) -> None:
    put(inputs, "value", 2, [get(inputs, "value", 2)[0] + 1])


def changed_timestamp(inputs: CircuitInputs) -> None:
    put(inputs, "timestamp", 2, [get(inputs, "timestamp", 2)[0] + 1])


def changed_sequence(inputs: CircuitInputs) -> None:
    put(inputs, "sequence", 2, [get(inputs, "sequence", 2)[0] + 1])


def signature_of_another_slot(inputs: CircuitInputs) -> None:
    copy_slot(inputs, 1, 2, ("r8", "digit"))


def another_project(inputs: CircuitInputs) -> None:
    inputs["projectId"] = 8


def stranger(inputs: CircuitInputs) -> None:
    outsider = key(99)
    put(inputs, "device", 2, [int.from_bytes(outsider.device, "big")])
    put(
        inputs, "publicKey", 2, [int.from_bytes(p, "big") for p in (outsider.public_key[:32], outsider.public_key[32:])]
    )
    resign(inputs, 2, outsider)


def name_of_another_device(inputs: CircuitInputs) -> None:
    copy_slot(inputs, 3, 2, ("device",))
    resign(inputs, 2, KEYS[2])


def another_device_set(inputs: CircuitInputs) -> None:
    inputs["deviceSetRoot"] = public(inputs, "deviceSetRoot") + 1


def another_index(inputs: CircuitInputs) -> None:
    put(inputs, "deviceIndex", 4, [9])


def counted_twice(inputs: CircuitInputs) -> None:
    copy_slot(inputs, 3, 4)


def unsorted(inputs: CircuitInputs) -> None:
    kept = {name: get(inputs, name, 1) for name in SLOT}
    copy_slot(inputs, 2, 1)
    for name, values in kept.items():
        put(inputs, name, 2, values)


def value_in_a_disabled_slot(inputs: CircuitInputs) -> None:
    put(inputs, "value", 9, [77])


def count_above(inputs: CircuitInputs) -> None:
    inputs["count"] = COUNT + 1


def count_below(inputs: CircuitInputs) -> None:
    inputs["count"] = COUNT - 1


def nothing_enabled(inputs: CircuitInputs) -> None:
    inputs.update(enabled=[0] * 16, value=[0] * 16, count=0)


def gap(inputs: CircuitInputs) -> None:
    put(inputs, "enabled", 2, [0])
    put(inputs, "value", 2, [0])
    inputs["count"] = COUNT - 1


def half_enabled(inputs: CircuitInputs) -> None:
    put(inputs, "enabled", 3, [(R + 1) // 2])
    put(inputs, "enabled", 4, [(R + 1) // 2])
    inputs["count"] = COUNT - 1


def twice_enabled(inputs: CircuitInputs) -> None:
    put(inputs, "enabled", 4, [2])
    inputs["count"] = COUNT + 1


def out_of_range(name: str, value: int) -> Callable[[CircuitInputs], None]:
    def change(inputs: CircuitInputs) -> None:
        put(inputs, name, 2, [value % R])
        if name == "device":
            inputs["deviceSetRoot"] = 0  # the leaf is another; the range must stop it as well
        resign(inputs, 2, KEYS[2])

    change.__name__ = f"{name}_{value}"
    return change


def public_out_of_range(name: str, value: int) -> Callable[[CircuitInputs], None]:
    def change(inputs: CircuitInputs) -> None:
        inputs[name] = value % R
        if name == "projectId":
            for slot in range(COUNT):
                resign(inputs, slot, KEYS[slot])

    change.__name__ = f"{name}_{value}"
    return change


def weak_key(point: curve.Affine) -> Callable[[CircuitInputs], None]:
    """A key of small order: S * B8 = R8 would sign anything."""

    def change(inputs: CircuitInputs) -> None:
        inputs.update(inputs_of(task([reading(0, 10, 1)])))
        put(inputs, "publicKey", 0, list(point))
        put(inputs, "r8", 0, list(curve.multiply_base(12345)))
        put(inputs, "digit", 0, signature_digits(12345))
        inputs["deviceSetRoot"] = single_device_root(inputs, 0)

    change.__name__ = f"weak_key_{point[0] % 10**6}"
    return change


def key_off_the_curve(inputs: CircuitInputs) -> None:
    inputs.update(inputs_of(task([reading(0, 10, 1)])))
    put(inputs, "publicKey", 0, [5, 7])
    inputs["deviceSetRoot"] = single_device_root(inputs, 0)


def nonce_off_the_curve(inputs: CircuitInputs) -> None:
    put(inputs, "r8", 2, [5, 7])


SIGNATURE = "signature.sum.out"
ATTACKS: list[tuple[Callable[[CircuitInputs], None], str]] = [
    (forged_scalar, f"slot[2].{SIGNATURE}"),
    (forged_nonce, f"slot[2].{SIGNATURE}"),
    (changed_value, f"slot[2].{SIGNATURE}"),
    (changed_timestamp, f"slot[2].{SIGNATURE}"),
    (changed_sequence, f"slot[2].{SIGNATURE}"),
    (signature_of_another_slot, f"slot[2].{SIGNATURE}"),
    (another_project, f"slot[1].{SIGNATURE}"),
    (stranger, "deviceSetRoot"),
    (name_of_another_device, "deviceSetRoot"),
    (another_device_set, "deviceSetRoot"),
    (another_index, "deviceSetRoot"),
    (counted_twice, "order[4]"),
    (unsorted, "order[2]"),
    (value_in_a_disabled_slot, "value[9]"),
    (count_above, "enabled"),
    (count_below, "enabled"),
    (nothing_enabled, "enabled"),
    (gap, "enabled"),
    (half_enabled, "enabled"),
    (twice_enabled, "enabled"),
    (out_of_range("value", 1 << 32), "bits[2]"),
    (out_of_range("value", -1), "bits[2]"),
    (out_of_range("sequence", 1 << 64), "slot[2].sequenceBits"),
    (out_of_range("sequence", -1), "slot[2].sequenceBits"),
    (out_of_range("timestamp", 1 << 64), "slot[2].timestampBits"),
    (out_of_range("device", 1 << 160), "slot[2].deviceBits"),
    (out_of_range("deviceIndex", 1 << 10), "slot[2].index"),
    (public_out_of_range("digestHigh", 1 << 128), "header.high"),
    (public_out_of_range("digestLow", -1), "header.low"),
    (public_out_of_range("projectId", 1 << 64), "header.project"),
    (public_out_of_range("windowStart", 0), "header.start"),
    (public_out_of_range("windowStart", 140), "header.room"),
    (public_out_of_range("windowEnd", 1 << 64), "header.end"),
    (public_out_of_range("windowEnd", 104), "header.room"),
    (public_out_of_range("duplicates", 36), "header.room"),
    (public_out_of_range("duplicates", -1), "header.repeated"),
    (public_out_of_range("duplicates", 1 << 32), "header.repeated"),
    (public_out_of_range("late", 1), "header.behind"),
    (public_out_of_range("late", -1), "header.tardy"),
    (public_out_of_range("late", 1 << 32), "header.tardy"),
    (public_out_of_range("reordered", COUNT + 1), "header.inOrder"),
    (public_out_of_range("reordered", -1), "header.behind"),
    (weak_key(curve.IDENTITY), "slot[0].signature.inverse"),
    (weak_key(torsion_points()[4]), "slot[0].signature.inverse"),
    (weak_key(torsion_points()[1]), "slot[0].signature.inverse"),
    (key_off_the_curve, "slot[0].signature.keyOnCurve"),
    (nonce_off_the_curve, "slot[2].signature.nonceOnCurve"),
]


@pytest.mark.parametrize(("change", "where"), ATTACKS, ids=[change.__name__ for change, _ in ATTACKS])
def test_an_attack_has_no_witness(
    attack: Attack, calculator: WitnessCalculator, change: Callable[[CircuitInputs], None], where: str
) -> None:
    inputs = honest()
    change(inputs)
    with pytest.raises(Refused, match="W3B-4004"):
        calculator.witness(inputs)
    broken = attack.broken(inputs)
    assert broken
    assert any(where in name for names in broken for name in names), broken


OUTPUTS = ["outputCount", "sum", "minimum", "maximum", "missing", "outputDuplicates", "outputLate", "outputReordered"]


@pytest.mark.parametrize("name", ["readingsRoot", *OUTPUTS])
def test_a_changed_output_breaks_the_constraints(attack: Attack, calculator: WitnessCalculator, name: str) -> None:
    window = task([reading(i % 2, 10 + i * i, 1000 - 300 * i) for i in range(COUNT)], arrival=(3, 1, 2))
    witness = witness_values(calculator.witness(inputs_of(window)))
    wire = attack.rebuilt.wires[name]
    for value in (witness[wire] + 1, witness[wire] - 1, 0, R - 1, witness[wire] + (1 << 32)):
        changed = [*witness]
        changed[wire] = value % R
        assert attack.circuit.violated(changed, reading=wire) != []
        assert attack.circuit.violated(witness, reading=wire) == []


GAPS = [(0, 10), (0, 13), (1, 5), (1, 6), (1, 2**40)]
"""(device, sequence): gaps of 2, 0 and 2^40 - 7."""
WIDE = [(0, 0), (0, 2**63), (1, 0), (1, 2**62)]
"""Gaps that add up to more than the cap."""


@pytest.mark.parametrize(
    ("line", "lie", "rows", "missing"),
    [
        ("same[i].in <== deviceIndex[i] - deviceIndex[i - 1];", "same[i].in <== 1;", GAPS, 0),
        ("same[i].in <== deviceIndex[i] - deviceIndex[i - 1];", "same[i].in <== 0;", GAPS, 2**63 - 1),
        ("fits.in <== above;", "fits.in <== 0;", WIDE, 2**63 + 2**62 - 2),
        ("fits.in <== above;", "fits.in <== 1;", GAPS, 2**63 - 1),
    ],
    ids=["no neighbours", "all neighbours", "no cap", "always capped"],
)
def test_a_prover_cannot_choose_what_is_missing(
    attack: Attack,
    lying: Callable[[str, str], Compiled],
    line: str,
    lie: str,
    rows: list[tuple[int, int]],
    missing: int,
) -> None:
    """Too few when neighbours of one device pass for two, too many when two pass for one; and the cap is no choice."""
    inputs = inputs_of(task([reading(device, sequence, 1) for device, sequence in rows]))
    liar = Attack(attack.circuit, attack.rebuilt, lying(line, lie))
    assert liar.unchecked.solve(inputs)[liar.unchecked.wires["missing"]] == missing
    broken = liar.broken(inputs)
    where = "same" if line.startswith("same") else "fits"
    assert any(where in name for names in broken for name in names), broken


def test_a_wrapped_sum_of_gaps_has_no_witness(attack: Attack, calculator: WitnessCalculator) -> None:
    """A sequence below its neighbour's would count as r minus something: the order's range check stands against it."""
    inputs = inputs_of(task([reading(0, 10, 1), reading(0, 11, 1), reading(0, 20, 1)]))
    copy_slot(inputs, 0, 1, ("sequence", "timestamp", "r8", "digit"))
    with pytest.raises(Refused, match="W3B-4004"):
        calculator.witness(inputs)
    assert any("order[1]" in name for names in attack.broken(inputs) for name in names)
