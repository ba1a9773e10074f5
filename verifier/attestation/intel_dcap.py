"""Verification of Intel DCAP quotes: dcap-qvl checks signatures, chains, CRLs, TCB info and QE identity against the
root that it is given; this module reads first what it would trust, gives it the policy, and names what it refuses.

dcap-qvl reports by text; a text that is not known here is refused as well (W3B-9106), never let through.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from verifier.attestation.anchors import Anchor
from verifier.attestation.evidence import (
    Endorsements,
    bad_endorsement,
    missing,
    read_json,
    refused,
)
from verifier.attestation.intel_quote import Quote
from verifier.attestation.policy import TcbPolicy
from verifier.attestation.result import Finding
from verifier.errors import Refused, Unavailable, W3bstreamError

COLLATERAL = "collateral.json"
"""The endorsement: a JSON object with the nine fields of Intel's quote collateral v3."""
FIELDS = {
    "pck_crl_issuer_chain": "text",
    "root_ca_crl": "hex",
    "pck_crl": "hex",
    "tcb_info_issuer_chain": "text",
    "tcb_info": "text",
    "tcb_info_signature": "hex",
    "qe_identity_issuer_chain": "text",
    "qe_identity": "text",
    "qe_identity_signature": "hex",
}
PCK_CHAIN = "pck_certificate_chain"
"""A tenth field, for quotes that carry no chain."""
_REFUSALS = (
    # (text of dcap-qvl, code, field); the first that is found counts.
    ("is not acceptable by policy", "W3B-9110", "tcb.status"),
    ("is rejected by policy", "W3B-9110", "tcb.advisories"),
    ("TCB too old", "W3B-9110", "tcb.date"),
    ("is below minimum", "W3B-9110", "tcb.evaluation_number"),
    ("not allowed by policy", "W3B-9110", "tcb.platform"),
    ("Collateral expired", "W3B-9105", "collateral"),
    ("TCBInfo", "W3B-9105", "collateral.tcb_info"),
    ("QE Identity issue date", "W3B-9105", "collateral.qe_identity"),
    ("QE Identity expired", "W3B-9105", "collateral.qe_identity"),
    ("CrlExpired", "W3B-9105", "collateral.crl"),
    ("CertExpired", "W3B-9105", "quote.pck"),
    ("CertNotValidYet", "W3B-9105", "quote.pck"),
    ("CertRevoked", "W3B-9108", "quote.pck"),
    ("Revoked", "W3B-9108", "tcb.status"),
    ("UnknownIssuer", "W3B-9107", "quote.pck"),
    ("CRL", "W3B-9107", "collateral.crl"),
    ("Debug mode is enabled", "W3B-9109", "report.attributes.debug"),
    ("TD profiling is enabled", "W3B-9109", "report.td_attributes.perfmon"),
    ("TD migration is enabled", "W3B-9109", "report.td_attributes.migratable"),
    ("SERVTD_EXT is enabled", "W3B-9109", "report.td_attributes.servtd_ext"),
    ("SEPT_VE_DISABLE is not enabled", "W3B-9109", "report.td_attributes.sept_ve_disable"),
    ("Reserved bits in TD attributes", "W3B-9109", "report.td_attributes"),
    ("Invalid MR service TD", "W3B-9109", "report.mrservicetd"),
    ("No matching TCB level", "W3B-9110", "tcb.level"),
    ("TDX module", "W3B-9110", "tcb.tdx_module"),
    ("Fmspc mismatch", "W3B-9107", "collateral.tcb_info.fmspc"),
    ("TCB info in the collateral", "W3B-9107", "collateral.tcb_info.id"),
    ("QE Identity id/version", "W3B-9107", "collateral.qe_identity.id"),
    ("tcb_info in quote_collateral", "W3B-9106", "collateral.tcb_info_signature"),
    ("qe_identity in quote_collateral", "W3B-9106", "collateral.qe_identity_signature"),
    ("qe_report in quote", "W3B-9106", "quote.qe_report_signature"),
    ("QE report hash mismatch", "W3B-9106", "quote.attestation_key"),
    ("ISV enclave report signature", "W3B-9106", "quote.signature"),
    ("Failed to verify certificate chain", "W3B-9107", "quote.pck"),
    ("MRSIGNER", "W3B-9107", "quote.qe_report.mrsigner"),
    ("ISVSVN", "W3B-9110", "quote.qe_report.isvsvn"),
)


@dataclass(frozen=True)
class Verified:
    """What dcap-qvl found."""

    anchor: Anchor
    status: str
    """Intel's TCB status."""
    advisories: tuple[str, ...]
    evaluation_number: int
    fmspc: str
    valid_until: int
    """Earliest expiry of collateral and certificates, Unix seconds."""
    finding: Finding | None
    """What the policy has against it."""
    tcb_date: int
    """Date of the matched TCB level, Unix seconds."""


def verify(
    quote: Quote, data: bytes, endorsements: Endorsements, *, anchors: tuple[Anchor, ...], policy: TcbPolicy, at: int
) -> Verified:
    """Verify a quote under the first anchor that its chain leads to.

    Parameters: `data` are the bytes that `quote` was read from; `at` is the time asked about, Unix seconds.

    Raises InvalidInput (W3B-9103, W3B-9104) for collateral, Refused (W3B-9105 to W3B-9110) with the field, Unavailable
    (W3B-9116) without dcap-qvl.
    """
    library = _library()
    collateral = _collateral(library, endorsements.get(COLLATERAL), bool(quote.chain))
    error: Refused | None = None
    for anchor in anchors:
        if quote.chain and hashlib.sha256(quote.chain[-1]).digest() != anchor.sha256:
            continue
        try:
            return _under(library, data, collateral, anchor=anchor, policy=policy, at=at)
        except Refused as refusal:
            # Under several roots the refusal that got furthest is of use; a chain that ends elsewhere says little.
            if error is None or error.code == "W3B-9107":
                error = refusal
    raise error or refused("W3B-9107", "quote.pck", f"ends in no root of the {len(anchors)} anchors")


def _library() -> Any:
    try:
        import dcap_qvl
    except ImportError as error:
        raise Unavailable("W3B-9116", "the module dcap_qvl is not installed", field="dcap_qvl") from error
    return dcap_qvl


@lru_cache(maxsize=64)
def _collateral(library: Any, data: bytes, quote_has_chain: bool) -> Any:
    """The library's collateral, remembered by its bytes: one collateral serves all quotes of a month.

    Raises InvalidInput (W3B-9103, W3B-9104).
    """
    fields = _fields(data)
    # The library prefers a chain of the collateral; the quote's own is then read by nobody, and anything could be in it.
    own = fields.pop(PCK_CHAIN, None)
    if not quote_has_chain:
        if own is None:
            raise missing(f"collateral.{PCK_CHAIN}", "is missing, and the quote has no chain either")
        fields[PCK_CHAIN] = own
    return guarded(lambda: library.QuoteCollateralV3.from_json(json.dumps(fields)), _bad_collateral)


def _fields(data: bytes) -> dict[str, str]:
    """The collateral's fields, each looked at by itself. Raises InvalidInput (W3B-9103, W3B-9104)."""
    found = read_json(data, COLLATERAL)
    if not isinstance(found, dict):
        raise bad_endorsement(COLLATERAL, "is no JSON object")
    for name in FIELDS:
        if name not in found:
            raise missing(f"collateral.{name}")
    found = {name: value for name, value in found.items() if value is not None or name != PCK_CHAIN}
    for name, value in found.items():
        if name not in FIELDS and name != PCK_CHAIN:
            raise bad_endorsement(f"collateral.{name[:40]!a}", "is not known")
        _check(name, FIELDS.get(name, "text"), value)
    for name in ("tcb_info", "qe_identity"):
        read_json(str(found[name]).encode(), f"collateral.{name}")
    return found


def _check(name: str, kind: str, value: object) -> None:
    if not isinstance(value, str):
        raise bad_endorsement(f"collateral.{name}", "is no text")
    if kind == "hex" and (len(value) % 2 or not re.fullmatch(r"[0-9a-fA-F]*", value)):
        raise bad_endorsement(f"collateral.{name}", "is no hex")


def _bad_collateral(text: str) -> W3bstreamError:
    return bad_endorsement("collateral", f"cannot be read: {text[:200]}")


def guarded(call: Callable[[], Any], refuse: Callable[[str], W3bstreamError]) -> Any:
    """Call into Rust; its errors, and a panic, which is no Exception, become the error that `refuse` makes."""
    try:
        return call()
    except (ValueError, TypeError, OverflowError) as error:
        raise refuse(str(error)) from error
    except BaseException as error:
        # A panic of Rust code is PyO3's PanicException; everything else, an interrupt say, goes on as it is.
        if type(error).__name__ == "PanicException":
            raise refuse(f"the library broke off: {error}") from error
        raise


def _refusal(text: str) -> Refused:
    short = re.sub(r"\s+", " ", text.removeprefix("Verification failed: "))[:240]
    for words, code, where in _REFUSALS:
        if words in text:
            return Refused(code, f"{where}: {short}", field=where)
    return Refused("W3B-9106", f"quote: {short}", field="quote")


def _under(library: Any, data: bytes, collateral: Any, *, anchor: Anchor, policy: TcbPolicy, at: int) -> Verified:
    verifier = guarded(lambda: library.QuoteVerifier(anchor.der), _refusal)
    try:
        claims = guarded(
            lambda: verifier.verify_with_policy(data, collateral, at, _policy(library, policy, at)), _refusal
        )
        return _verified(json.loads(claims.to_json()), anchor, None)
    except Refused as refusal:
        finding = refusal
    if finding.code == "W3B-9107":
        # The text of this door ends at the outermost cause; the library's other door tells which it is.
        guarded(lambda: library.verify_with_root_ca(data, collateral, anchor.der, at), _refusal)
    claims = guarded(
        lambda: verifier.verify_with_policy(data, collateral, at, library.QuotePolicy.claims_only(at)), _refusal
    )
    return _verified(json.loads(claims.to_json()), anchor, Finding.of(finding))


def _policy(library: Any, policy: TcbPolicy, at: int) -> Any:
    made = library.QuotePolicy.strict(at)
    for status in sorted(policy.accepted_statuses - {"UpToDate"}):
        made = made.allow_status(status)
    made = made.reject_advisories(sorted(policy.denied_advisories))
    made = made.platform_grace_period(policy.platform_grace_seconds).qe_grace_period(policy.qe_grace_seconds)
    made = made.allow_smt(policy.allow_smt).allow_dynamic_platform(policy.allow_dynamic_platform)
    made = made.allow_cached_keys(policy.allow_cached_keys)
    return made.min_tcb_eval_data_number(policy.minimum_evaluation_number)


def _verified(claims: dict[str, Any], anchor: Anchor, finding: Finding | None) -> Verified:
    tcb, platform = claims["tcb"], claims["platform"]
    return Verified(
        anchor=anchor,
        status=tcb["status"],
        advisories=tuple(tcb["advisory_ids"]),
        evaluation_number=int(tcb["eval_data_number"]),
        fmspc=bytes(platform["pck"]["fmspc"]).hex(),
        valid_until=int(claims["earliest_expiration_date"]),
        finding=finding,
        tcb_date=int(platform["tcb_date_tag"]),
    )


def details(found: Verified, quote: Quote) -> dict[str, Any]:
    """What a reader sees of the platform beside its measurements."""
    return {
        "quote_version": quote.version,
        "tcb_status": found.status,
        "tcb_date": found.tcb_date,
        "advisories": list(found.advisories),
        "fmspc": found.fmspc,
    }
