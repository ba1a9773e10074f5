"""What DcapCollateral and DcapAttestation take, from a DCAP quote and its `collateral.json`.

docs/reference/dcap-on-chain.md has the layouts. Certificates go to the store once; the evidence that an adapter appraises
names the PCK certificate by its hash. Nothing is verified here: the contracts do, and `verifier.attestation` off chain.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from eth_hash.auto import keccak

from verifier.attestation.evidence import Endorsements, Platform, bad_endorsement, malformed, missing, read_json
from verifier.attestation.intel_dcap import COLLATERAL, FIELDS, PCK_CHAIN
from verifier.attestation.intel_quote import ENCLAVE_REPORT, SGX_TEE, TDX_TEE, Quote, parse
from verifier.attestation.policy import STATUSES, TcbPolicy
from verifier.bindings.abi import encode_call
from verifier.bindings.deployment import create
from verifier.errors import InvalidInput

if TYPE_CHECKING:
    from eth_account.signers.local import LocalAccount
    from web3 import Web3

STORE = "DcapCollateral"
ADAPTER = "DcapAttestation"
AUTH_BYTES = 32
"""Of the quoting enclave's authentication data; Intel's has no other length."""
EVIDENCE_HEAD = 640
"""Bytes of the evidence before the quote's header."""
ON_CHAIN_STATUSES = STATUSES[:4]
"""TCB statuses that an adapter can accept, in the order of their bits; what is out of date needs a grace, which no
contract keeps."""


@dataclass(frozen=True)
class CollateralCalls:
    """Calls of the store, in the order in which they are sent; each changes nothing where the store has it already."""

    root_list: bytes
    pck_list: bytes
    tcb_info: bytes
    qe_identity: bytes
    pck: bytes

    def all(self) -> tuple[bytes, ...]:
        """The five of them."""
        return self.root_list, self.pck_list, self.tcb_info, self.qe_identity, self.pck

    def together(self) -> bytes:
        """One call that makes all."""
        return encode_call(STORE, "multicall", list(self.all()))


def deploy_store(web3: Web3, account: LocalAccount, root: bytes) -> str:
    """DcapCollateral under a root certificate, DER; any but Intel's own is a simulated one. Its address.

    Raises Refused (W3B-5009).
    """
    return create(web3, account, STORE, root)[0]


def deploy_adapter(web3: Web3, account: LocalAccount, store: str, platform: Platform, policy: TcbPolicy) -> str:
    """DcapAttestation of SGX or TDX over a store. Its address.

    Raises InvalidInput (W3B-9115) for a policy that no contract keeps, Refused (W3B-5009).
    """
    return create(web3, account, ADAPTER, store, *adapter_arguments(platform, policy))[0]


def adapter_arguments(platform: Platform, policy: TcbPolicy) -> tuple[int, int, int]:
    """The adapter's `tee`, statuses and least evaluation number. Raises InvalidInput (W3B-9115)."""
    tees = {Platform.SGX: SGX_TEE, Platform.TDX: TDX_TEE}
    if platform not in tees:
        raise InvalidInput("W3B-9115", f"platform {platform.value} has no DCAP quotes", field="platform")
    allows = (policy.allow_smt, policy.allow_dynamic_platform, policy.allow_cached_keys)
    for name, kept in (
        ("denied_advisories", not policy.denied_advisories),
        ("platform_grace_seconds", policy.platform_grace_seconds == 0),
        ("qe_grace_seconds", policy.qe_grace_seconds == 0),
        ("allow_smt, allow_dynamic_platform and allow_cached_keys", all(allows)),
    ):
        if not kept:
            raise InvalidInput("W3B-9115", f"tcb.{name}: no contract keeps it", field=f"tcb.{name.split(',')[0]}")
    return tees[platform], accepted_statuses(policy.accepted_statuses), policy.minimum_evaluation_number


def accepted_statuses(statuses: frozenset[str]) -> int:
    """The adapter's bits for a policy's statuses. Raises InvalidInput (W3B-9115) for one that it cannot accept."""
    if unknown := statuses - set(ON_CHAIN_STATUSES):
        raise InvalidInput(
            "W3B-9115",
            f"tcb.accepted_statuses has {sorted(unknown)}; a contract accepts {list(ON_CHAIN_STATUSES)}",
            field="tcb.accepted_statuses",
        )
    return sum(1 << ON_CHAIN_STATUSES.index(each) for each in statuses)


def evidence(data: bytes, endorsements: Endorsements | None = None) -> bytes:
    """A quote as the adapter takes it: keccak256 of the PCK certificate, signatures, key and quoting enclave's report,
    then header and body. `endorsements` are needed only for a quote without a certificate chain.

    Raises InvalidInput (W3B-9101 to W3B-9104).
    """
    quote = parse(data)
    section = data[len(quote.signed) + 4 :]
    # Of versions 4 and 5 the rest is certification data of type 6: its type (2) and size (4) come first.
    rest = section[128:] if quote.version == 3 else section[128 + 6 :]
    report = rest[: ENCLAVE_REPORT + 64]
    length = int.from_bytes(rest[len(report) : len(report) + 2], "little")
    if length != AUTH_BYTES:
        raise malformed("quote.qe_auth_data", f"has {length} bytes, not {AUTH_BYTES}")
    auth = rest[len(report) + 2 :][:AUTH_BYTES]
    pck = _chain(quote, endorsements)[0]
    return keccak(pck) + section[:128] + report + auth + quote.signed


def collateral_calls(data: bytes, endorsements: Endorsements) -> CollateralCalls:
    """What the store needs before an adapter can appraise the quote.

    Raises InvalidInput (W3B-9101 to W3B-9104).
    """
    quote = parse(data)
    pck, authority, *_ = _chain(quote, endorsements)
    fields = _fields(endorsements)
    (list_issuer, *_) = _certificates(fields, "pck_crl_issuer_chain")
    return CollateralCalls(
        root_list=encode_call(STORE, "storeRootList", _hex(fields, "root_ca_crl")),
        pck_list=encode_call(STORE, "storePckList", _hex(fields, "pck_crl"), list_issuer),
        tcb_info=_document(fields, "tcb_info", "storeTcbInfo"),
        qe_identity=_document(fields, "qe_identity", "storeQeIdentity"),
        pck=encode_call(STORE, "storePck", pck, authority),
    )


def _document(fields: dict[str, str], name: str, function: str) -> bytes:
    (signer, *_) = _certificates(fields, f"{name}_issuer_chain")
    return encode_call(STORE, function, fields[name].encode(), _hex(fields, f"{name}_signature"), signer)


def _fields(endorsements: Endorsements) -> dict[str, str]:
    """The collateral's texts. Raises InvalidInput (W3B-9103, W3B-9104)."""
    found = read_json(endorsements.get(COLLATERAL), COLLATERAL)
    if not isinstance(found, dict):
        raise bad_endorsement(COLLATERAL, "is no JSON object")
    for name in FIELDS:
        if name not in found:
            raise missing(f"collateral.{name}")
        if not isinstance(found[name], str):
            raise bad_endorsement(f"collateral.{name}", "is no text")
    return found


def _hex(fields: dict[str, str], name: str) -> bytes:
    try:
        return bytes.fromhex(fields[name])
    except ValueError as error:
        raise bad_endorsement(f"collateral.{name}", "is no hex") from error


def _certificates(fields: dict[str, str], name: str) -> list[bytes]:
    """A PEM chain as DER, leaf first. Raises InvalidInput (W3B-9103, W3B-9104)."""
    text = fields.get(name)
    if not isinstance(text, str):
        raise missing(f"collateral.{name}")
    try:
        return [each.public_bytes(Encoding.DER) for each in x509.load_pem_x509_certificates(text.encode())]
    except ValueError as error:
        raise bad_endorsement(f"collateral.{name}", f"is no PEM chain: {str(error)[:120]}") from error


def _chain(quote: Quote, endorsements: Endorsements | None) -> tuple[bytes, ...]:
    """PCK certificate, PCK CA and what follows them."""
    chain = quote.chain
    if not chain and endorsements is not None:
        chain = tuple(_certificates(_fields(endorsements), PCK_CHAIN))
    if len(chain) < 2:
        raise missing("quote.pck", f"has a chain of {len(chain)} certificates; its CA's is needed")
    return chain
