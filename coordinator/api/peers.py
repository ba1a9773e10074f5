"""Where a call comes from: the address, and the certificate's identity where the client showed one."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Network, ip_address
from typing import Any
from urllib.parse import unquote


@dataclass(frozen=True)
class Peer:
    """The other end of a call."""

    address: str
    """IP address without the port, or `unix`."""
    certificate: str = ""
    """Subject alternative names (or the common name) of its verified certificate; empty without one."""

    @property
    def text(self) -> str:
        """Both, as the audit log keeps them."""
        return f"{self.address} certificate {self.certificate}" if self.certificate else self.address


def address_of(peer: str) -> str:
    """The address in gRPC's peer text, such as `ipv4:192.0.2.1:4711` or `ipv6:[2001:db8::1]:4711`."""
    family, _, rest = unquote(peer).partition(":")
    if family == "ipv4":
        return rest.rpartition(":")[0]
    if family == "ipv6":
        return rest.rpartition("]")[0].removeprefix("[")
    return family or "unknown"


def network_of(address: str) -> str:
    """Whom failures count against: an IPv4 address, or the /64 of an IPv6 one, in which a single host may choose."""
    try:
        found = ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(found, IPv4Address):
        return address
    return str(found.ipv4_mapped or IPv6Network((found, 64), strict=False))


def peer_of(context: Any) -> Peer:
    """The peer of a call under way."""
    shown = context.auth_context()
    names = shown.get("x509_subject_alternative_name") or shown.get("x509_common_name") or ()
    return Peer(address_of(context.peer()), ", ".join(name.decode("utf-8", "replace") for name in names))
