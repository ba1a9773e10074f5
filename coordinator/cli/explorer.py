"""`w3bstream explorer`: a sign-in link to the pages of this machine's service."""

from __future__ import annotations

import json
import os
import ssl
import urllib.error
import urllib.parse
import urllib.request
import webbrowser
from typing import Annotated, Any

import typer

from coordinator.cli import session
from coordinator.cli.options import ApiKey, Json, certificate, home, key_of, target_of, trusted
from coordinator.cli.output import console, print_json
from verifier.errors import Denied, InvalidInput, Unavailable

app = typer.Typer(no_args_is_help=True, help="The explorer's pages, in a browser.")

PATIENCE_SECONDS = 10.0
Url = Annotated[
    str | None,
    typer.Option(
        "--url",
        envvar="W3BSTREAM_EXPLORER_URL",
        help="The explorer's address. Default: the service of this machine.",
        rich_help_panel="Connection",
    ),
]
Path = Annotated[str, typer.Argument(help="The page to open, such as /tasks; default: the overview.")]


def _address(given: str | None) -> str:
    """The explorer's URL. Raises Unavailable (W3B-7508) and InvalidInput (W3B-7016)."""
    if given:
        return given.rstrip("/")
    path = home() / "explorer.json"
    try:
        return str(json.loads(path.read_text())["url"])
    except FileNotFoundError as error:
        raise Unavailable("W3B-7508", f"no explorer runs here: {path} is not there") from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InvalidInput("W3B-7016", f"{path} cannot be read: {error}") from error


def _secret(api_key: str | None, *, is_ours: bool) -> str:
    """The key that is given, else the token of this user's login, else, for this home's own explorer, admin.key.
    Raises as `options.connect`."""
    if api_key:
        return key_of(api_key)
    token = None
    try:
        where = target_of(os.environ.get("W3BSTREAM_TARGET"))
    except Unavailable:
        pass  # an API that nobody knows is one that nobody is logged in at
    else:
        token = session.token(home(), where, trusted(), certificate())
    if token is None and not is_ours:
        what = "no --api-key, no W3BSTREAM_API_KEY and no login; admin.key goes to this machine's own explorer only"
        raise Denied("W3B-7001", what)
    return token or key_of(None)


def _require_private(address: str, *, is_ours: bool) -> None:
    """Raises InvalidInput (W3B-7016) for a URL over which a key would travel readable."""
    from coordinator.settings import is_loopback_host

    parts = urllib.parse.urlsplit(address)
    if parts.scheme == "https" or (parts.scheme == "http" and (is_ours or is_loopback_host(parts.hostname or ""))):
        return
    what = "is no https URL, and keys go by plain http to this machine only"
    raise InvalidInput("W3B-7016", f"the explorer's address {address[:100]!r} {what}", field="url")


def _refusal(error: urllib.error.HTTPError) -> Exception:
    try:
        said = json.loads(error.read(4096))["error"]
        return Denied(str(said["code"]), str(said["message"]))
    except (ValueError, KeyError, TypeError):
        return Unavailable("W3B-7508", f"the explorer answered HTTP {error.code}")


def make_link(url: str | None, api_key: str | None, page: str) -> dict[str, Any]:
    """{url, expires_at} of a link that signs in once. Raises Unavailable (W3B-7508), Denied and InvalidInput."""
    address = _address(url)
    _require_private(address, is_ours=not url)  # what explorer.json says is this machine's own
    key = _secret(api_key, is_ours=not url)
    query = urllib.parse.urlencode({"next": page})
    request = urllib.request.Request(  # noqa: S310 - the scheme was looked at above
        f"{address}/links?{query}", method="POST", data=b"", headers={"Authorization": f"Bearer {key}"}
    )
    tls = ssl.create_default_context(cafile=os.environ.get("W3BSTREAM_CA"))
    # Without the environment's proxies: the key goes to the explorer and to nobody else.
    opener = urllib.request.build_opener(
        urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=tls), _NoRedirect()
    )
    try:
        with opener.open(request, timeout=PATIENCE_SECONDS) as answer:
            found: dict[str, Any] = json.load(answer)
            return found
    except urllib.error.HTTPError as error:
        raise _refusal(error) from error
    except (OSError, ValueError) as error:
        raise Unavailable("W3B-7508", f"{address} does not answer: {error}") from error


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Sends the key nowhere else."""

    def redirect_request(self, *_: Any) -> None:
        """Follow nothing."""


@app.command(epilog="Example: w3bstream explorer link /tasks")
def link(page: Path = "/", json_output: Json = False, url: Url = None, api_key: ApiKey = None) -> None:
    """Print a link that signs in once, within ten minutes, with the rights of the API key or login."""
    made = make_link(url, api_key, page)
    if json_output:
        print_json(made)
    else:
        console().print(made["url"], soft_wrap=True, highlight=False)


@app.command("open", epilog="Example: w3bstream explorer open    (a page: w3bstream explorer open /provers)")
def open_page(page: Path = "/", json_output: Json = False, url: Url = None, api_key: ApiKey = None) -> None:
    """Open the explorer in the browser, signed in; without a browser the link is printed."""
    made = make_link(url, api_key, page)
    opened = webbrowser.open(made["url"])
    if json_output:
        print_json({**made, "opened": opened})
    elif opened:
        console().print("Opened in the browser.")
    else:
        console().print(made["url"], soft_wrap=True, highlight=False)
