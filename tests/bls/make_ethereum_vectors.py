"""Make `ethereum.json`: the known answers of Ethereum's BLS tests, computed again with py_ecc (MIT licence).

Keys, messages and cases are those of the generator ethereum/bls12-381-tests, whose answers are py_ecc's too; every
signature, sum and public key here was found equal to the published one (ethereum/consensus-spec-tests, phase0/bls).
The key-generation cases are the test vectors of ERC-2333 (CC0).
Run: `python tests/bls/make_ethereum_vectors.py`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from py_ecc.bls.ciphersuites import G2ProofOfPossession as Scheme

KEYS = [
    0x263DBD792F5B1BE47ED85F8938C0F29586AF0D3AC7B977F21C278FE1462040E3,
    0x47B8192D77BF871B62E87859D653922725724A5C031AFEABC60BCEF5FF665138,
    0x328388AFF0D4A5B7DC9205ABD374E7E98F3CD9F3418EDB4EAFDA5FB16473D216,
]
MESSAGES = [bytes(32), b"\x56" * 32, b"\xab" * 32]
MASTER_KEYS = {  # ERC-2333: seed and master_SK
    "c55257c360c07c72029aebc1b53c05ed0362ada38ead3e3e9efa3708e5349553"
    "1f09a6987599d18264c1e1c92f2cf141630c7a3c4ab7c81b2f001698e7463b04": (
        6083874454709270928345386274498605044986640685124978867557563392430687146096
    ),
    "3141592653589793238462643383279502884197169399375105820974944592": (
        29757020647961307431480504535336562678282505419141012933316116377660817309383
    ),
    "0099ff991111002299dd7744ee3355bbdd8844115566cc55663355668888cc00": (
        27580842291869792442942448775674722299803720648445448686099262467207037398656
    ),
    "d4e56740f876aef8c010b86a40d5f56745a118d0906a34e69aec8c0db1cb8fa3": (
        19022158461524446591288038168518313374041767046816487870552872741050760015818
    ),
}


def hexed(value: bytes) -> str:
    return "0x" + value.hex()


def case(given: Any, output: Any) -> dict[str, Any]:
    return {"input": given, "output": output}


def build() -> dict[str, Any]:
    public = [Scheme.SkToPk(key) for key in KEYS]
    signed = {(at, message): Scheme.Sign(key, message) for at, key in enumerate(KEYS) for message in MESSAGES}
    sign = [
        case({"privkey": hexed(KEYS[at].to_bytes(32, "big")), "message": hexed(message)}, hexed(signature))
        for (at, message), signature in signed.items()
    ]
    sums = {message: Scheme.Aggregate([signed[at, message] for at in range(3)]) for message in MESSAGES}
    aggregate = [case([hexed(signed[at, message]) for at in range(3)], hexed(sums[message])) for message in MESSAGES]
    fast = [
        case(
            {
                "pubkeys": [hexed(key) for key in public[:count]],
                "message": hexed(message),
                "signature": hexed(Scheme.Aggregate([signed[at, message] for at in range(count)])),
            },
            True,
        )
        for count, message in zip((1, 2, 3), MESSAGES, strict=True)
    ]
    each = Scheme.Aggregate([signed[at, message] for at, message in enumerate(MESSAGES)])
    distinct = case(
        {"pubkeys": [hexed(k) for k in public], "messages": [hexed(m) for m in MESSAGES], "signature": hexed(each)},
        True,
    )
    for seed, master in MASTER_KEYS.items():
        assert Scheme.KeyGen(bytes.fromhex(seed)) == master
    return {
        "source": "computed by make_ethereum_vectors.py with py_ecc 8.0.0 (MIT) for the cases of "
        "ethereum/bls12-381-tests; key generation: ERC-2333 (CC0)",
        "sign": sign,
        "aggregate": aggregate,
        "fast_aggregate_verify": fast,
        "aggregate_verify": [distinct],
        "key_generation": [
            {"seed": hexed(bytes.fromhex(seed)), "secret_key": hexed(key.to_bytes(32, "big"))}
            for seed, key in MASTER_KEYS.items()
        ],
        "possession": [
            {"privkey": hexed(key.to_bytes(32, "big")), "pubkey": hexed(own), "proof": hexed(Scheme.PopProve(key))}
            for key, own in zip(KEYS, public, strict=True)
        ],
    }


def main() -> None:
    path = Path(__file__).with_name("ethereum.json")
    path.write_text(json.dumps(build(), indent=1) + "\n")


if __name__ == "__main__":
    main()
