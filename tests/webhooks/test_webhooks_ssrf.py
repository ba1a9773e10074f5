"""What must hold: no outgoing URL reaches an address that the policy does not allow, whatever names resolve to."""

from __future__ import annotations

import datetime
import ipaddress
import random
import socket
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from coordinator.webhooks.backoff import PAUSES, Backoff
from coordinator.webhooks.guarded_client import GuardedClient
from coordinator.webhooks.ssrf import UrlPolicy, check_address, check_url
from tests.webhooks.conftest import Desk, Receiver
from verifier.errors import InvalidInput, Refused, W3bstreamError

STRICT = UrlPolicy()
LOOPBACK = UrlPolicy(allow_loopback=True, total_seconds=2.0)
PRIVATE = [
    "0.0.0.0",
    "10.1.2.3",
    "100.64.0.1",
    "127.0.0.1",
    "127.8.8.8",
    "168.63.129.16",
    "169.254.169.254",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.192",
    "192.0.2.1",
    "192.168.1.1",
    "198.18.0.1",
    "198.51.100.7",
    "203.0.113.9",
    "224.0.0.1",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::ffff:10.0.0.1",
    "::ffff:127.0.0.1",
    "::ffff:169.254.169.254",
    "::127.0.0.1",
    "64:ff9b::a00:1",
    "64:ff9b:1::1",
    "100::1",
    "2001::1",
    "2001:db8::1",
    "2002:a00:1::",
    "2002:7f00:1::",
    "2002:808:808::",
    "::ffff:0:7f00:1",
    "::8.8.8.8",
    "4000::1",
    "64:ff9b::7f00:1",
    "64:ff9b::a9fe:a9fe",
    "fc00::1",
    "fd00:ec2::254",
    "fe80::1",
    "fec0::1",
    "ff02::1",
]
PUBLIC = ["1.1.1.1", "8.8.8.8", "2606:4700:4700::1111", "64:ff9b::808:808", "::ffff:8.8.8.8"]


@pytest.mark.parametrize("address", PRIVATE)
def test_special_addresses_are_refused(address: str) -> None:
    with pytest.raises(Refused, match="W3B-6002"):
        check_address(address, STRICT)


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_are_allowed(address: str) -> None:
    assert str(check_address(address, STRICT)) == str(ipaddress.ip_address(address))


@pytest.mark.parametrize(
    "address", [a for a in PRIVATE if a not in {"127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1", "64:ff9b::7f00:1"}]
)
def test_allowing_loopback_allows_nothing_else(address: str) -> None:
    with pytest.raises(Refused, match="W3B-6002"):
        check_address(address, LOOPBACK)


@given(st.ip_addresses())
def test_what_python_calls_private_is_never_allowed(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> None:
    try:
        check_address(str(address), STRICT)
    except Refused:
        return
    special = [
        address.is_loopback,
        address.is_link_local,
        address.is_multicast,
        address.is_unspecified,
        address.is_private,
    ]
    assert not any(special)
    if address.version == 4:
        assert address.is_global


@pytest.mark.parametrize(
    "url",
    [
        "",
        "example.com",
        "http://example.com/",
        "ftp://example.com/",
        "file:///etc/passwd",
        "https://",
        "https:///path",
        "https://user:pass@example.com/",
        "https://example.com/#fragment",
        "https://example.com:99999/",
        "https://[::1",
        "javascript:alert(1)",
        "https://example.com/" + "a" * 3000,
        "https://127.0.0.1/",
        "https://[::1]/",
        "https://[::ffff:10.0.0.1]/",
        "https://localhost/",
        "http://localhost:8080/",
        "https://@example.com/",
        "https://example.com\\@127.0.0.1/",
        "https://example.com /",
        "https://exam\nple.com/",
        "https://example.com./",
        "https://127.0.0.1./",
        "https://127.1/",
        "https://2130706433/",
        "https://0x7f000001/",
        "https://0x7f.1/",
        "https://0177.0.0.1/",
        "https://1.2.3.0x4/",
        "https://127。0。0。1/",
        "https://１２７.0.0.1/",
        "https://localhost./",
        "https://example.com:22/",
        "https://example.com:80/",
        "https://example.com:6667/",
        "https://[fe80::1%25eth0]/",
        "https://[64:ff9b::7f00:1]/",
        "https://[2002:7f00:1::]/",
        "https://169.254.169.254/latest/meta-data",
    ],
)
def test_urls_that_are_not_allowed(url: str) -> None:
    with pytest.raises(W3bstreamError, match=r"W3B-600[12]"):
        check_url(url, STRICT)


def test_http_is_for_loopback_where_it_is_allowed() -> None:
    assert check_url("http://127.0.0.1:8080/hook", LOOPBACK).port == 8080
    assert check_url("http://localhost:8080/hook", LOOPBACK).host == "localhost"
    assert check_url("http://[::1]:8080/hook", LOOPBACK).host == "::1"
    assert check_url("https://example.com/hook", STRICT).port == 443
    with pytest.raises(InvalidInput, match="W3B-6001"):
        check_url("http://example.com/hook", LOOPBACK)
    with pytest.raises(Refused, match="W3B-6002"):
        check_url("http://10.0.0.1/hook", LOOPBACK)


@pytest.mark.parametrize("host", ["127.1", "2130706433", "0x7f.1", "0177.0.0.1", "127.0.0.1.", "localhost."])
async def test_odd_spellings_of_loopback_do_not_connect(host: str) -> None:
    client = GuardedClient(STRICT)
    with pytest.raises((W3bstreamError, OSError, ValueError)):
        await client.post(f"https://{host}:1/", b"", {})
    await client.close()


async def test_a_name_that_leads_inside_is_refused() -> None:
    async def inside(_host: str, _port: int) -> list[str]:
        return ["8.8.8.8", "10.0.0.1"]

    client = GuardedClient(STRICT, resolve=inside)
    with pytest.raises(Refused, match=r"W3B-6002.*10\.0\.0\.1"):
        await client.check("https://example.com/")
    with pytest.raises(Refused, match="W3B-6002"):
        await client.post("https://example.com/", b"", {})
    await client.close()


async def test_localhost_must_be_loopback() -> None:
    async def elsewhere(_host: str, _port: int) -> list[str]:
        return ["8.8.8.8"]

    client = GuardedClient(LOOPBACK, resolve=elsewhere)
    with pytest.raises(Refused, match="not loopback"):
        await client.post("http://localhost:9/", b"", {})
    await client.close()


@pytest.fixture
async def https(tmp_path: Path, hits: list[str]) -> AsyncIterator[tuple[int, ssl.SSLContext]]:
    """A TLS server on loopback for hooks.example; its port, and a context that trusts it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "hooks.example")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("hooks.example")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    plain = serialization.NoEncryption()
    secret = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
    (tmp_path / "tls.pem").write_bytes(secret + pem)
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serving.load_cert_chain(tmp_path / "tls.pem")

    async def handle(request: web.Request) -> web.Response:
        hits.append(request.host)
        return web.Response(text="ok")

    application = web.Application()
    application.router.add_post("/", handle)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=serving).start()
    trusting = ssl.create_default_context(cadata=pem.decode())
    yield runner.addresses[0][1], trusting
    await runner.cleanup()


@pytest.fixture
def hits() -> list[str]:
    return []


async def test_the_checked_address_is_the_one_connected_to(https: tuple[int, ssl.SSLContext], hits: list[str]) -> None:
    """DNS rebinding: the name answers once with an allowed address, then with a forbidden one; each connection asks
    once and goes where that answer said."""
    port, trusting = https
    answers = iter([["127.0.0.1"], ["10.0.0.1"], ["127.0.0.1"]])
    asked: list[str] = []

    async def rebinding(host: str, _port: int) -> list[str]:
        asked.append(host)
        return next(answers)

    policy = UrlPolicy(allow_loopback=True, total_seconds=2.0, reuse_seconds=0)
    client = GuardedClient(policy, resolve=rebinding, tls=trusting)
    answer = await client.post(f"https://hooks.example:{port}/", b"{}", {})
    assert answer.status == 200
    assert asked == ["hooks.example"], "asked once"
    with pytest.raises(Refused, match="W3B-6002"):
        await client.post(f"https://hooks.example:{port}/", b"{}", {})
    assert (await client.post(f"https://hooks.example:{port}/", b"{}", {})).status == 200
    assert hits == [f"hooks.example:{port}"] * 2
    await client.close()


async def test_a_connection_that_is_used_again_stays_where_it_was(
    https: tuple[int, ssl.SSLContext], hits: list[str]
) -> None:
    """DNS rebinding between two messages: the second goes over the checked connection, and once that is old, the name is
    asked for anew and its forbidden answer refused."""
    port, trusting = https
    answers = iter([["127.0.0.1"], ["10.0.0.1"]])

    async def rebinding(_host: str, _port: int) -> list[str]:
        return next(answers)

    client = GuardedClient(LOOPBACK, resolve=rebinding, tls=trusting)
    for _ in range(3):
        assert (await client.post(f"https://hooks.example:{port}/", b"{}", {})).status == 200
    ((connection,),) = client._resting.values()
    connection.opened -= LOOPBACK.reuse_seconds
    with pytest.raises(Refused, match="W3B-6002"):
        await client.post(f"https://hooks.example:{port}/", b"{}", {})
    assert len(hits) == 3
    await client.close()


async def test_every_address_of_a_name_is_checked_and_the_socket_once_more() -> None:
    """Whatever hands an address to the client, the socket to it is not made."""
    client = GuardedClient(STRICT)
    for address in ("127.0.0.1", "10.0.0.1", "169.254.169.254"):
        info = (socket.AF_INET, socket.SOCK_STREAM, 0, "", (address, 443))
        with pytest.raises(Refused, match="W3B-6002"):
            client._socket(info)
    await client.close()


async def test_an_unknown_certificate_is_refused(https: tuple[int, ssl.SSLContext], hits: list[str]) -> None:
    port, _ = https

    async def resolve(_host: str, _port: int) -> list[str]:
        return ["127.0.0.1"]

    client = GuardedClient(LOOPBACK, resolve=resolve)
    with pytest.raises(OSError, match="certificate"):
        await client.post(f"https://hooks.example:{port}/", b"{}", {})
    assert hits == []
    await client.close()


async def test_a_proxy_setting_is_not_read(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9/")
    client = GuardedClient(LOOPBACK)
    assert (await client.post(f"{receiver.url}/hook", b"", {})).status == 200
    await client.close()


async def test_a_message_to_a_forbidden_address_dies_without_a_connection(desk: Desk, receiver: Receiver) -> None:
    """The endpoint was made while loopback was allowed; the setting changed."""
    await desk.endpoint(f"{receiver.url}/hook")
    (message,) = await desk.event("0xtask")
    await desk.run_until_state(desk.sender(STRICT, cap=2), message, "DEAD")
    assert receiver.got == []
    assert ["W3B-600" in tried.error for tried in await desk.tries(message)] == [True, True]


@given(tries=st.integers(1, 10_000), seed=st.integers())
def test_delays_stay_within_their_bounds(tries: int, seed: int) -> None:
    backoff = Backoff()
    pause = backoff.pauses[min(tries, len(backoff.pauses)) - 1]
    assert 0.9 * pause <= backoff.delay(tries, random.Random(seed)) <= 1.1 * pause
    assert backoff.delay(tries, random.Random(seed), 1e9) <= max(backoff.longest, 1.1 * pause)
    assert backoff.delay(tries, random.Random(seed), 60.0) >= 60.0


def test_ten_tries_with_the_defaults_take_three_days() -> None:
    assert len(PAUSES) == 9
    assert 3 * 86_400 < sum(PAUSES) < 3.5 * 86_400
