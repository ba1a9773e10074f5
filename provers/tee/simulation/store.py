"""A simulated vendor's files: keys (mode 600) and certificates, each made once and kept.

Whoever is first writes a file whole; everyone reads back what is there, so that two processes that open one home at once
go on with the same hierarchy: a key before the certificates that are made of it.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from provers.installation import private_folder, write_private
from verifier.errors import InvalidInput, Unavailable

Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
PEM = serialization.Encoding.PEM
RSA_BITS = 4096


class Store:
    """The folder of one vendor. Raises Unavailable (W3B-9118) where it cannot be made."""

    def __init__(self, folder: Path) -> None:
        try:
            self._folder = private_folder(folder)
        except OSError as error:
            raise _unusable(folder, error) from error

    def part(self, name: str, make: Callable[[], bytes]) -> bytes:
        """A file's content, made where there is none. Raises Unavailable (W3B-9118)."""
        path = self._folder / name
        try:
            if not path.exists():
                write_private(path, make(), keep=True)
            return path.read_bytes()
        except OSError as error:
            raise _unusable(path, error) from error

    def ec_key(self, name: str, curve: type[ec.SECP256R1] | type[ec.SECP384R1]) -> ec.EllipticCurvePrivateKey:
        """The key of `<name>.key`, PKCS #8 in PEM. Raises InvalidInput (W3B-9117), Unavailable (W3B-9118)."""
        found = self._key(name, lambda: ec.generate_private_key(curve()))
        if not isinstance(found, ec.EllipticCurvePrivateKey) or not isinstance(found.curve, curve):
            raise self.damaged(f"{name}.key", f"is no key of {curve.name}")
        return found

    def rsa_key(self, name: str) -> rsa.RSAPrivateKey:
        """The same for RSA of `RSA_BITS` bits, which takes a second or more to make."""
        found = self._key(name, lambda: rsa.generate_private_key(65537, RSA_BITS))
        if not isinstance(found, rsa.RSAPrivateKey) or found.key_size != RSA_BITS:
            raise self.damaged(f"{name}.key", f"is no RSA key of {RSA_BITS} bits")
        return found

    def _key(self, name: str, make: Callable[[], Key]) -> object:
        def new() -> bytes:
            plain = serialization.NoEncryption()
            return make().private_bytes(PEM, serialization.PrivateFormat.PKCS8, plain)

        try:
            return serialization.load_pem_private_key(self.part(f"{name}.key", new), None)
        except (ValueError, TypeError) as error:
            raise self.damaged(f"{name}.key", f"is no private key: {str(error)[:80]}") from error

    def certificate(self, name: str, key: Key, make: Callable[[], x509.Certificate]) -> x509.Certificate:
        """The certificate of `<name>.pem`, which is of `key`.

        Raises InvalidInput (W3B-9117) where it cannot be read or is of another key, Unavailable (W3B-9118).
        """
        content = self.part(f"{name}.pem", lambda: make().public_bytes(PEM))
        try:
            found = x509.load_pem_x509_certificate(content)
            same = found.public_key() == key.public_key()
        except ValueError as error:
            raise self.damaged(f"{name}.pem", f"is no certificate: {str(error)[:80]}") from error
        if not same:
            raise self.damaged(f"{name}.pem", f"is not of {name}.key")
        return found

    def damaged(self, name: str, why: str) -> InvalidInput:
        """The error for a file that is not what it was (W3B-9117)."""
        path = self._folder / name
        return InvalidInput("W3B-9117", f"{path} {why}", field=f"{self._folder.name}/{name}")


def _unusable(path: Path, error: OSError) -> Unavailable:
    return Unavailable("W3B-9118", f"{path} cannot be used: {error.strerror or error}", field="home")
