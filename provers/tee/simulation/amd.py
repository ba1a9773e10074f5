"""A simulated AMD: one root key (ARK) and one signing key (ASK) of RSA-4096, as X.509 certificates for SEV-SNP and in
AMD's own format for legacy SEV. AMD's Milan has one pair of keys in both formats too.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import rsa

from provers.tee.simulation.certificates import LIFETIME, Issuer, issue, label, pem
from provers.tee.simulation.store import Store

VENDOR = "AMD"
PRODUCT = "Milan"


class SimulatedAmd:
    """The authorities of one installation.

    To make the keys takes seconds, and to load them most of one: they are touched only where something is to be signed,
    which is once an installation. What is raised everywhere: InvalidInput (W3B-9117), Unavailable (W3B-9118).
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    @cached_property
    def ark(self) -> rsa.RSAPrivateKey:
        """The root key."""
        return self._store.rsa_key("ark")

    @cached_property
    def ask(self) -> rsa.RSAPrivateKey:
        """The key that signs chips' keys."""
        return self._store.rsa_key("ask")

    @property
    def root(self) -> Issuer:
        """The ARK with its name."""
        return Issuer(label(f"ARK-{PRODUCT}", VENDOR), self.ark)

    @property
    def signer(self) -> Issuer:
        """The ASK with its name."""
        return Issuer(label(f"SEV-{PRODUCT}", VENDOR), self.ask)

    def authorities(self) -> tuple[x509.Certificate, x509.Certificate]:
        """The certificates of ASK and ARK."""
        ark = self._certificate("ark", lambda: issue(self.root, self.root, LIFETIME, authority=True))
        ask = self._certificate("ask", lambda: issue(self.signer, self.root, LIFETIME, authority=True, path_length=0))
        self.require_issued("ark", ark, ark)
        self.require_issued("ask", ask, ark)
        return ask, ark

    def require_issued(self, name: str, certificate: x509.Certificate, issuer: x509.Certificate) -> None:
        """Refuse a certificate of the store that another key signed (W3B-9117)."""
        try:
            certificate.verify_directly_issued_by(issuer)
        except (ValueError, TypeError, InvalidSignature) as error:
            raise self._store.damaged(f"{name}.pem", "is not signed by its issuer") from error

    def _certificate(self, name: str, make: Callable[[], x509.Certificate]) -> x509.Certificate:
        try:
            return x509.load_pem_x509_certificate(self._store.part(f"{name}.pem", lambda: pem(make())))
        except ValueError as error:
            raise self._store.damaged(f"{name}.pem", f"is no certificate: {str(error)[:80]}") from error
