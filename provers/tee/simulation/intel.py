"""A simulated Intel: SGX root, PCK Platform CA, one machine's PCK, TCB signing key, and the machine's quoting enclave.

Layouts: Intel "SGX PCK Certificate and CRL Profile Specification" rev 1.5 §1.3.5 (the PCK's extension).
"""

from __future__ import annotations

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from provers.tee.simulation import der
from provers.tee.simulation.certificates import LIFETIME, Issuer, issue, label
from provers.tee.simulation.store import Store

CPU_SVN = bytes([1] * 16)
"""Of the machine and of its enclaves' reports."""
PCE_SVN = 13
FMSPC = bytes.fromhex("514000000000")
"""Family, model and stepping, made up; without hex letters, for verifiers differ about their case."""
PCE_ID = bytes(2)
PCK_EXTENSION = "1.2.840.113741.1.13.1"
SCALABLE_WITH_INTEGRITY = 2
"""SGX type of the PCK extension: 0 standard, 1 scalable, 2 scalable with integrity."""


class IntelHierarchy:
    """Keys and certificates of an installation's simulated Intel; made at the first use, in the vendor's folder.

    Raises InvalidInput (W3B-9117), Unavailable (W3B-9118).
    """

    def __init__(self, store: Store) -> None:
        keys = {name: store.ec_key(name, ec.SECP256R1) for name in ("root", "pck-ca", "tcb-signing", "pck", "quoting")}
        # dcap-qvl picks the CA's revocation list by its common name, and go-tdx-guest compares all of them; the
        # organisation says what they are.
        root = Issuer(label("Intel SGX Root CA", "INTEL"), keys["root"])
        ca = Issuer(label("Intel SGX PCK Platform CA", "INTEL"), keys["pck-ca"])
        tcb = Issuer(label("Intel SGX TCB Signing", "INTEL"), keys["tcb-signing"])
        pck = Issuer(label("Intel SGX PCK Certificate", "INTEL"), keys["pck"])

        self.root = store.certificate(
            "root",
            keys["root"],
            lambda: issue(root, root, LIFETIME, authority=True, path_length=1, more=_extensions(root, root)),
        )
        self.pck_ca = store.certificate(
            "pck-ca",
            keys["pck-ca"],
            lambda: issue(ca, root, LIFETIME, authority=True, path_length=0, more=_extensions(ca, root)),
        )
        self.tcb_signing = store.certificate(
            "tcb-signing",
            keys["tcb-signing"],
            lambda: issue(tcb, root, LIFETIME, authority=False, more=_extensions(tcb, root)),
        )
        self.pck = store.certificate(
            "pck",
            keys["pck"],
            lambda: issue(
                pck,
                ca,
                LIFETIME,
                authority=False,
                extensions={PCK_EXTENSION: pck_extension()},
                more=_extensions(pck, ca),
            ),
        )
        self.root_key, self.pck_ca_key = keys["root"], keys["pck-ca"]
        self.tcb_signing_key, self.pck_key = keys["tcb-signing"], keys["pck"]
        self.quoting_key = keys["quoting"]
        """The quoting enclave's attestation key, which the PCK certifies."""


def _extensions(subject: Issuer, issuer: Issuer) -> tuple[x509.ExtensionType, ...]:
    """Where the issuer's CRL would be, and both keys' identifiers: Intel's certificates have these, and no others.

    dcap-qvl wants a distribution point in every certificate; `.invalid` is resolved nowhere (RFC 6761 §6.4).
    """
    where = x509.UniformResourceIdentifier("https://simulated.invalid/crl.der")
    return (
        x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.key.public_key()),
        x509.CRLDistributionPoints([x509.DistributionPoint([where], None, None, None)]),
        x509.SubjectKeyIdentifier.from_public_key(subject.key.public_key()),
    )


def pck_extension() -> bytes:
    """The SGX extension of the machine's PCK: provisioning id, TCB, PCE id, FMSPC, SGX type, instance, configuration."""

    def pair(number: str, value: bytes) -> bytes:
        return der.sequence(der.identifier(f"{PCK_EXTENSION}.{number}"), value)

    components = [pair(f"2.{at + 1}", der.integer(svn)) for at, svn in enumerate(CPU_SVN)]
    tcb = der.sequence(*components, pair("2.17", der.integer(PCE_SVN)), pair("2.18", der.octets(CPU_SVN)))
    # Dynamic platform, cached keys, SMT: none of them holds.
    configuration = der.sequence(*(pair(f"7.{at}", der.boolean(False)) for at in (1, 2, 3)))
    return der.sequence(
        pair("1", der.octets(bytes(16))),
        pair("2", tcb),
        pair("3", der.octets(PCE_ID)),
        pair("4", der.octets(FMSPC)),
        pair("5", der.element(der.ENUMERATED, bytes([SCALABLE_WITH_INTEGRITY]))),
        pair("6", der.octets(b"SIMULATED".ljust(16, b"\0"))),
        pair("7", configuration),
    )
