"""Telling systemd how the service stands (sd_notify(3)); without systemd it says nothing to nobody."""

from __future__ import annotations

import os
import socket


def tell_systemd(state: str) -> None:
    """Send a state such as `READY=1` to the socket that systemd named, if there is one.

    Raises OSError when it is named and cannot be reached.
    """
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sending:
        # A name that begins with @ is in the abstract namespace (unix(7)).
        sending.connect("\0" + address[1:] if address.startswith("@") else address)
        sending.sendall(state.encode())
