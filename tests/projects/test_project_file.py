"""The project file: what is accepted, and that every mistake is named with its line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from eth_hash.auto import keccak
from hypothesis import given
from hypothesis import strategies as st

from coordinator.projects.example import example
from coordinator.projects.file import ProjectFile, parse_project_file
from coordinator.projects.programs import Manifest, installed_programs, manifest
from provers.programs_index import PROGRAMS as INSTALLED
from provers.programs_index import read_programs
from verifier import babyjubjub
from verifier.assurance import parse_assurance, resolve_assurance, restore_assurance
from verifier.commitment import device_set_root
from verifier.errors import InvalidInput, NotFound
from verifier.field import R
from verifier.reading import DeviceKey, KeyType

KEYS = [DeviceKey.from_private(KeyType.BABYJUBJUB, bytes([index + 1] * 32)) for index in range(3)]
SECP = DeviceKey.from_private(KeyType.SECP256K1, bytes([9] * 32))
P256 = DeviceKey.from_private(KeyType.P256, bytes([9] * 32))
ANY = ("babyjubjub", "secp256k1", "p256")
PROGRAMS = {
    "temperature_window": Manifest("temperature_window", "zkp.groth16", 16, "int32", "poseidon-bn254-v1", "in-proof"),
    "temperature_enclave": Manifest(
        "temperature_enclave", "tee.sgx", 16, "int32", "poseidon-bn254-v1", "attested", ANY
    ),
    "small_enclave": Manifest("small_enclave", "tee.nitro", 8, "int64", "poseidon-bn254-v1", "attested", ANY),
}


def hex_key(key: DeviceKey) -> str:
    return "0x" + key.public_key.hex()


def project(**changes: str) -> str:
    """A valid file, one line a field but for lists; `changes` replaces whole blocks."""
    blocks = {
        "schema": "schema: w3bstream/v1",
        "name": "name: green-house",
        "da": "da: {url: embedded}",
        "devices": f"devices:\n  - {{key_type: babyjubjub, public_key: {hex_key(KEYS[0])}, label: attic}}",
        "window": "window: {readings: 16, seconds: 30}",
        "commitment": "commitment: poseidon-bn254-v1",
        "programs": "programs:\n  - {kind: zkp.groth16, program: temperature_window}",
        "assurance": "assurance: zkp(groth16)",
        "deadline": "deadline_seconds: 600",
        "dapp": "dapp: sample",
        "webhooks": "webhooks: []",
    }
    return "\n".join({**blocks, **changes}.values()) + "\n"


def errors(text: str) -> list[str]:
    with pytest.raises(InvalidInput) as refused:
        parse_project_file(text, PROGRAMS)
    assert refused.value.code == "W3B-2001"
    return refused.value.message.split("\n")


def test_a_valid_file() -> None:
    file = parse_project_file(project(), PROGRAMS)
    assert (file.model.name, file.capacity, file.assurance.threshold) == ("green-house", 16, 1)
    assert file.assurance.kinds == ("zkp.groth16",)
    assert file.devices == (KEYS[0].registration("attic"),)
    assert file.device_set_root == device_set_root(file.devices)
    canonical = json.dumps(file.config, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    assert file.config_hash == keccak(canonical.encode())
    assert file.config["devices"][0]["device"] == "0x" + KEYS[0].device.hex()


def test_the_hash_is_of_the_meaning_not_of_the_layout() -> None:
    one = parse_project_file(project(), PROGRAMS)
    upper = project().replace(hex_key(KEYS[0]), "'0x" + KEYS[0].public_key.hex().upper() + "'")
    for same in (project(da="# a comment"), upper, project(assurance="assurance: 1 of [zkp]"), project(webhooks="")):
        assert parse_project_file(same, PROGRAMS).config_hash == one.config_hash
    other = parse_project_file(project(window="window: {readings: 15, seconds: 30}"), PROGRAMS)
    assert other.config_hash != one.config_hash


def test_the_signing_of_webhooks_is_in_the_hash_and_the_default_is_not() -> None:
    def parsed(signing: str) -> ProjectFile:
        hook = f"webhooks: [{{url: 'https://a.example'{signing}}}]"
        return parse_project_file(project(webhooks=hook), PROGRAMS)

    plain, hmac, ed25519 = parsed(""), parsed(", signing: hmac"), parsed(", signing: ed25519")
    assert plain.config["webhooks"] == [{"url": "https://a.example", "events": []}], "as before there was a choice"
    assert hmac.config_hash == plain.config_hash != ed25519.config_hash
    assert [part.signing for part in ed25519.model.webhooks] == ["ed25519"]
    (line,) = errors(project(webhooks="webhooks: [{url: 'https://a.example', signing: rsa}]"))
    assert "webhooks[0].signing" in line


def test_the_example_is_valid_with_what_is_installed() -> None:
    devices = [key.registration(label) for key, label in zip(KEYS, ("roof", 'a "quoted": #label', ""), strict=True)]
    file = parse_project_file(example("my-project", devices))
    assert file.devices == tuple(devices)
    assert file.model.window.readings == 16


@pytest.mark.parametrize(
    "change", [("uint32 late", "uint32 tardy"), ('"uint64 missing", ', ""), ("outputs = [", "results = [")]
)
def test_a_program_whose_output_does_not_end_with_the_completeness_is_refused(
    tmp_path: Path, change: tuple[str, str]
) -> None:
    text = (INSTALLED / "temperature_window" / "program.toml").read_text()
    assert change[0] in text
    (tmp_path / "p").mkdir()
    (tmp_path / "p" / "program.toml").write_text(text.replace(*change))
    with pytest.raises(InvalidInput, match="W3B-2005"):
        installed_programs(tmp_path)


def test_every_installed_manifest_is_readable() -> None:
    assert installed_programs()["temperature_window"].kind == "zkp.groth16"
    with pytest.raises(NotFound, match=r"W3B-2005.*nothing_such"):
        manifest("nothing_such")


def test_one_wasm_program_serves_every_platform_that_it_names(tmp_path: Path) -> None:
    text = (INSTALLED / "temperature_window" / "program.toml").read_text()
    folder = tmp_path / "everywhere"
    folder.mkdir()
    (folder / "program.toml").write_text(text.replace('kind = "zkp.groth16"', 'kinds = ["tee.sgx", "tee.nitro"]'))
    known = installed_programs(tmp_path)
    listed = "programs:\n  - {kind: tee.sgx, program: everywhere}\n  - {kind: tee.nitro, program: everywhere}"
    file = parse_project_file(project(programs=listed, assurance="assurance: 2 of [tee.sgx, tee.nitro]"), known)
    assert [part.kind for part in file.model.programs] == ["tee.sgx", "tee.nitro"]
    with pytest.raises(InvalidInput, match=r"programs\[0\].kind is tee.cca; .* of kind tee.sgx or tee.nitro"):
        parse_project_file(project(programs="programs: [{kind: tee.cca, program: everywhere}]"), known)


@pytest.mark.parametrize(
    "line",
    [
        "kinds = []",
        'kinds = ["tee.sgx", "tee.sgx"]',
        'kinds = ["tee.sgx", "zkp.groth16"]',
        'kinds = "tee.sgx"',
        "kinds = [1]",
        'kind = "tee.sgx"\nkinds = ["tee.sgx"]',
    ],
)
def test_kinds_are_different_tee_kinds(tmp_path: Path, line: str) -> None:
    text = (INSTALLED / "temperature_window" / "program.toml").read_text()
    (tmp_path / "p").mkdir()
    (tmp_path / "p" / "program.toml").write_text(text.replace('kind = "zkp.groth16"', line))
    with pytest.raises(InvalidInput, match="W3B-2005"):
        installed_programs(tmp_path)
    with pytest.raises(InvalidInput, match="W3B-2005"):
        read_programs(tmp_path / "p")


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (
            {"window": "window:\n  seconds: 30\n  readings: 40"},
            "line 8: window.readings is 40; the program temperature_window takes at most 16",
        ),
        ({"name": "name: Green House"}, 'line 2: name is "Green House": string should match pattern'),
        ({"name": "name: ab"}, 'line 2: name is "ab"'),
        ({"schema": "schema: w3bstream/v2"}, 'line 1: schema is "w3bstream/v2"'),
        ({"schema": ""}, "line 2: schema is missing"),
        ({"window": ""}, "window is missing"),
        ({"window": "windows: {readings: 4, seconds: 3}"}, "line 6: windows is unknown; did you mean window?"),
        (
            {"window": "window: {readngs: 4, readings: 4, seconds: 3}"},
            "line 6: window.readngs is unknown; did you mean readings?",
        ),
        ({"dapp": "dapp: sample\ndapp: sample"}, "line 13: dapp is given twice"),
        ({"window": "window: {readings: 0, seconds: 3}"}, "line 6: window.readings is 0: input should be greater"),
        ({"window": "window: {readings: 4.5, seconds: 3}"}, "line 6: window.readings is '4.5', a YAML float"),
        ({"window": "window: {readings: '4', seconds: 3}"}, 'line 6: window.readings is "4": input should be a valid'),
        (
            {"window": "window: {readings: true, seconds: 3}"},
            "line 6: window.readings is true: input should be a valid",
        ),
        ({"deadline": "deadline_seconds: 1:30"}, "line 11: deadline_seconds is '1:30', a YAML int; put it in quotes"),
        ({"deadline": "deadline_seconds: 010"}, "line 11: deadline_seconds is '010', a YAML int"),
        ({"da": "da: &anchor {url: embedded}"}, "line 3: aliases and anchors"),
        ({"da": "da: !!python/object/apply:os.system ['true']"}, "line 3"),
        ({"da": "da: {url: 'https://example.com'}"}, 'line 3: da.url is "https://example.com"'),
        ({"da": "da: {url: 'nats://user:secret@example.com'}"}, "line 3: da.url"),
        ({"da": "da: {url: 'nats://h:1', credentials: ../x.creds}"}, "line 3: da.credentials"),
        (
            {"da": "da: {url: 'nats://h:1', credentials: other.creds}"},
            "line 3: da.credentials is 'other.creds'; it must begin with 'green-house.'",
        ),
        ({"da": "da: {credentials: green-house.creds}"}, "line 3: da.credentials is given, but the embedded"),
        ({"commitment": "commitment: sha256-v1"}, "line 7: commitment is 'sha256-v1'; known are"),
        (
            {"programs": "programs:\n  - {kind: zkp.groth16, program: temperature_windw}"},
            "line 9: programs[0].program temperature_windw is not installed; did you mean temperature_window?",
        ),
        (
            {
                "programs": "programs:\n  - {kind: zkp.halo2, program: temperature_window}",
                "assurance": "assurance: zkp",
            },
            "line 9: programs[0].kind is zkp.halo2; the program temperature_window is of kind zkp.groth16",
        ),
        ({"programs": "programs: []"}, "line 8: programs is []"),
        ({"assurance": "assurance: tee(sgx)"}, "line 10: assurance is 'tee(sgx)': it names tee.sgx, but no program"),
        ({"assurance": "assurance: 2 of [zkp]"}, "line 10: assurance is '2 of [zkp]'"),
        ({"assurance": "assurance: trust me"}, "line 10: assurance is 'trust me'"),
        ({"dapp": "dapp: '0x1234'"}, 'line 12: dapp is "0x1234"'),
        (
            {"webhooks": "webhooks: [{url: 'https://a.example', events: [nope]}]"},
            "line 13: webhooks[0].events has 'nope'",
        ),
        (
            {"webhooks": "webhooks: [{url: 'https://a.example'}, {url: 'https://a.example'}]"},
            "line 13: webhooks[1].url is given twice",
        ),
        ({"devices": "devices: []"}, "line 4: devices is []"),
    ],
)
def test_a_mistake_is_named_with_its_line(changes: dict[str, str], expected: str) -> None:
    found = errors(project(**changes))
    assert any(line.startswith(expected) or (not expected.startswith("line") and expected in line) for line in found), (
        found
    )


def device_rows(*rows: str) -> dict[str, str]:
    return {"devices": "devices:\n" + "\n".join(f"  - {{{row}}}" for row in rows)}


def test_devices_that_are_refused() -> None:
    good = f"key_type: babyjubjub, public_key: {hex_key(KEYS[0])}"
    twice = errors(project(**device_rows(good, good)))
    assert twice == [
        "line 6: devices[1] has the id of devices[0]",
        "line 6: devices[1] has the public key of devices[0]",
    ]
    named = f"key_type: babyjubjub, public_key: {hex_key(KEYS[1])}, device: 0x{KEYS[0].device.hex().upper()}"
    assert errors(project(**device_rows(good, named))) == ["line 6: devices[1] has the id of devices[0]"]
    assert errors(project(**device_rows(f"key_type: rsa, public_key: {hex_key(KEYS[0])}")))[0].startswith(
        'line 5: devices[0].key_type is "rsa"'
    )
    assert "line 5: devices[0].public_key is" in errors(project(**device_rows("key_type: p256, public_key: 0x1234")))[0]
    wrong = errors(project(**device_rows(f"key_type: secp256k1, public_key: {hex_key(SECP)}")))
    assert wrong == ["line 5: devices[0].key_type is secp256k1; the program temperature_window takes babyjubjub"]


def point(x: int, y: int) -> str:
    return f"0x{x:064x}{y:064x}"


def test_keys_off_the_curve_or_out_of_the_subgroup_are_refused() -> None:
    x, y = (int.from_bytes(KEYS[0].public_key[at : at + 32], "big") for at in (0, 32))
    low_order = babyjubjub.add((x, y), (0, R - 1))  # on the curve, plus the point of order 2
    assert babyjubjub.on_curve(low_order)
    bad = [point(x, y ^ 1), point(0, 1), point(0, R - 1), point(*low_order), point(x + R, y)]
    for key in bad:
        found = errors(project(**device_rows(f"key_type: babyjubjub, public_key: '{key}'")))
        assert found == ["line 5: devices[0].public_key is no valid babyjubjub key"], key
    enclave = {
        "programs": "programs:\n  - {kind: tee.sgx, program: temperature_enclave}",
        "assurance": "assurance: tee(sgx)",
    }
    for kind, good in (("secp256k1", SECP), ("p256", P256)):
        row = f"key_type: {kind}, public_key: {hex_key(good)}"
        assert parse_project_file(project(**device_rows(row), **enclave), PROGRAMS).devices[0] == good.registration()
        flipped = row[:-1] + ("0" if row[-1] != "0" else "1")
        found = errors(project(**device_rows(flipped), **enclave))
        assert found == [f"line 5: devices[0].public_key is no valid {kind} key"]


def test_too_many_devices() -> None:
    row = f"key_type: babyjubjub, public_key: {hex_key(KEYS[0])}"
    found = errors(project(**device_rows(*[row] * 1025)))
    assert found[0].startswith("line 4: devices is ")
    assert "1024" in found[0]


def test_all_mistakes_come_at_once_in_the_order_of_lines() -> None:
    found = errors(project(name="name: X", window="window: {readings: 0, seconds: 0}", dapp="dapp: none"))
    assert [line.split(":")[0] for line in found] == ["line 2", "line 6", "line 6", "line 12"]
    with pytest.raises(InvalidInput) as refused:
        parse_project_file(project(name="name: X", dapp="dapp: none"), PROGRAMS)
    assert refused.value.field == "name"


def test_several_kinds_with_one_window() -> None:
    one = "programs:\n  - {kind: zkp.groth16, program: temperature_window}"
    both = one + "\n  - {kind: tee.sgx, program: temperature_enclave}"
    file = parse_project_file(project(programs=both, assurance="assurance: 2 of [zkp, tee.sgx]"), PROGRAMS)
    assert (file.assurance.threshold, file.assurance.kinds) == (2, ("zkp.groth16", "tee.sgx"))
    assert errors(project(programs=both)) == [
        "line 11: assurance is 'zkp(groth16)': it does not name tee.sgx, whose program is listed"
    ]
    unlike = both.replace("tee.sgx, program: temperature_enclave", "tee.nitro, program: small_enclave")
    found = errors(project(programs=unlike, assurance="assurance: 1 of [zkp, tee]"))
    assert "line 6: window.readings is 16; the program small_enclave takes at most 8" in found
    assert any("small_enclave has payload int64, but temperature_window has int32" in line for line in found)


def test_yaml_that_would_grow_or_nest_is_refused() -> None:
    bomb = "a: &a [x, x]\n" + "".join(
        f"{chr(98 + i)}: &{chr(98 + i)} [*{chr(97 + i)}, *{chr(97 + i)}]\n" for i in range(20)
    )
    assert errors(bomb)[0].startswith("line 1: aliases and anchors")
    assert errors("x: " + "[" * 10_000)[0].startswith("line 1: nested deeper")
    assert "larger than 1048576 bytes" in errors("# " + "x" * (1 << 20))[0]
    assert errors("") == ["line 1: the file is empty"]
    assert errors("- 1\n- 2")[0].startswith("line 1: the file is")
    assert "this is no YAML" in errors("a: [1,\nb: }")[0]
    assert "this is no YAML" in errors("a: 1\n---\nb: 2\n")[0]
    assert "a key must be plain text" in errors("1: 2\n")[0]


@given(st.text(max_size=200))
def test_any_text_is_refused_cleanly(text: str) -> None:
    with pytest.raises(InvalidInput):
        parse_project_file(text, PROGRAMS)


@given(st.integers(0, 12), st.text(alphabet="{}[]:-#&*!|>'\"%@` \nabc0", min_size=1, max_size=20))
def test_a_damaged_file_is_refused_cleanly_or_still_valid(line: int, noise: str) -> None:
    lines = project().split("\n")
    lines[line] += noise
    try:
        file = parse_project_file("\n".join(lines), PROGRAMS)
    except InvalidInput as error:
        assert error.code == "W3B-2001"  # noqa: PT017 - both outcomes are right
    else:
        assert file.config["schema"] == "w3bstream/v1"


@pytest.mark.parametrize(
    ("text", "threshold", "kinds"),
    [
        ("zkp(groth16)", 1, ("zkp.groth16",)),
        ("zkp.groth16", 1, ("zkp.groth16",)),
        ("1 of [zkp.groth16]", 1, ("zkp.groth16",)),
        (" 2 of [zkp, tee.sgx, tee( nitro )] ", 2, ("zkp", "tee.sgx", "tee.nitro")),
        ("1 of [tee.sev-snp, tee.nvidia-h100]", 1, ("tee.sev-snp", "tee.nvidia-h100")),
    ],
)
def test_assurance_syntax(text: str, threshold: int, kinds: tuple[str, ...]) -> None:
    parsed = parse_assurance(text)
    assert (parsed.threshold, parsed.kinds, parsed.fallback, parsed.independent) == (threshold, kinds, "", False)


@pytest.mark.parametrize(
    ("text", "fallback", "independent"),
    [
        ("zkp, else tee.nitro", "tee.nitro", False),
        ("2 of [zkp, tee.sgx],else tee( nitro )", "tee.nitro", False),
        ("2 of [zkp, tee.sgx]  by  independent operators", "", True),
        ("2 of [zkp, tee.sgx], else tee.nitro by independent operators", "tee.nitro", True),
    ],
)
def test_assurance_of_more_than_a_number(text: str, fallback: str, independent: bool) -> None:
    parsed = parse_assurance(text)
    assert (parsed.fallback, parsed.independent) == (fallback, independent)
    assert parsed.allowed == (*parsed.kinds, *[fallback] * bool(fallback))
    assert parse_assurance(str(parsed)) == parsed
    kinds = [kind if "." in kind else f"{kind}.groth16" for kind in parsed.allowed]
    resolved = resolve_assurance(parsed, list(reversed(kinds)))
    assert resolved.allowed == tuple(kinds)
    assert restore_assurance(resolved.canonical(), kinds, resolved.threshold) == resolved


@pytest.mark.parametrize(
    ("text", "fallback", "seconds", "read_back"),
    [
        ("tee.sgx now, zkp within 1h", "", 3600, "tee.sgx now, zkp within 1h"),
        ("1 of [tee.sgx] now,zkp  within 90s", "", 90, "tee.sgx now, zkp within 90s"),
        ("tee.sgx now, else tee.nitro, zkp within 720h", "tee.nitro", 30 * 86_400, None),
        (
            "2 of [tee.sgx, tee.cca] now, else tee.nitro, zkp(groth16) within 30m by independent operators",
            "tee.nitro",
            1800,
            "2 of [tee.sgx, tee.cca] now, else tee.nitro, zkp.groth16 within 30m by independent operators",
        ),
        ("tee.sgx now, zkp within 1s by independent operators", "", 1, None),
    ],
)
def test_assurance_of_two_stages(text: str, fallback: str, seconds: int, read_back: str | None) -> None:
    parsed = parse_assurance(text)
    assert (parsed.fallback, parsed.confirm_within, parsed.confirm.split(".")[0]) == (fallback, seconds, "zkp")
    assert parsed.independent is text.endswith("operators")
    assert parsed.confirm not in parsed.counting
    assert parse_assurance(str(parsed)) == parsed
    assert read_back is None or str(parsed) == read_back
    programs = ["zkp.groth16", "tee.nitro", "tee.cca", "tee.sgx"]
    programs = [kind for kind in programs if kind in parsed.allowed or kind.startswith("zkp")]
    resolved = resolve_assurance(parsed, programs)
    assert resolved.confirm == "zkp.groth16"
    form = resolved.canonical()
    assert (form["confirm"], form["confirm_within"]) == ("zkp.groth16", seconds)
    restored = restore_assurance(form, programs, resolved.threshold)
    assert set(restored.kinds) == set(resolved.kinds)
    assert restored.canonical() == form


def test_the_hash_of_a_file_from_before_there_was_a_choice_is_the_same() -> None:
    file = parse_project_file(project(), PROGRAMS)
    assert file.config_hash.hex() == "8c9c48b32ff60b8ddffdafd373801bc73b682b0bd1df3c00c5ad7825ff218e11"
    assert file.config["assurance"] == {"threshold": 1, "kinds": ["zkp.groth16"]}
    for text in ("zkp, else tee.nitro", "2 of [zkp, tee.nitro] by independent operators"):
        form = resolve_assurance(parse_assurance(text), ["zkp.groth16", "tee.nitro"]).canonical()
        assert set(form) - {"threshold", "kinds"} in ({"else"}, {"independent"})


@pytest.mark.parametrize(
    "text",
    [
        *("", "2 of [zkp]", "0 of [zkp]", "1 of []", "1 of [zkp, zkp]", "zkp(", "zkp()", "1 of zkp", "ZKP", "zkp.a.b"),
        *("zkp, else zkp", "1 of [zkp, tee.sgx], else tee.sgx", "zkp, else", "zkp else tee.nitro", "zkp,else"),
        *("zkp, else 2 of [tee.sgx, tee.nitro]", "zkp, else tee.sgx, else tee.nitro", "else zkp", ", else zkp"),
        *("2 of [zkp], else tee.nitro", "zkp by independent operators", "1 of [zkp, tee.sgx] by independent operators"),
        *(
            "2 of [zkp, tee.sgx] by independent",
            "by independent operators",
            "zkp, else tee.nitro by independent operators",
        ),
        *("2 of [zkp, tee.sgx] by independent operators, else tee.nitro", "2 of [zkp, [tee.sgx]]"),
        *(
            "tee.nitro now",
            "tee.nitro, zkp within 1h",
            "zkp within 1h",
            "zkp now, zkp within 1h",
            "now, zkp within 1h,",
        ),
        *("tee.nitro now, zkp within 0s", "tee.nitro now, zkp within 31d", "tee.nitro now, zkp within 1 h"),
        *("tee.nitro now, zkp within 3600", "tee.nitro now, zkp within 1h, else tee.sgx", "tee.nitro now, 1h"),
        *("tee.nitro, else tee.sgx now, zkp within 1h", "tee.nitro now, else zkp, zkp within 1h"),
        *("tee.nitro now, 2 of [zkp, tee.sgx] within 1h", "2 of [zkp] now, tee.sgx within 1h"),
        *("tee.nitro now, zkp within 1h within 2h", f"1 of [{', '.join(f'k{n}' for n in range(17))}]"),
    ],
)
def test_assurance_that_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"kind|asks for"):
        parse_assurance(text)


@given(
    st.text(alphabet="zkpte.sgx12 of[],else()byindptora-_\n", max_size=60)
    | st.lists(st.sampled_from(["zkp", "tee.sgx", " now", ", ", "else ", " within ", "1h", "90s", "2 of [", "]"])).map(
        "".join
    )
)
def test_any_assurance_is_parsed_or_refused_and_what_is_parsed_reads_back(text: str) -> None:
    try:
        parsed = parse_assurance(text)
    except ValueError:
        return
    assert parse_assurance(str(parsed)) == parsed


def test_a_family_must_mean_one_program() -> None:
    with pytest.raises(ValueError, match="could be any of"):
        resolve_assurance(parse_assurance("zkp"), ["zkp.groth16", "zkp.halo2"])
    with pytest.raises(ValueError, match="same program"):
        resolve_assurance(parse_assurance("1 of [zkp, zkp.groth16]"), ["zkp.groth16"])
