"""Test only: answers of a JSON-RPC server that misbehaves; the `serve` fixture of conftest.py runs it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from aiohttp import web


def replying(body: Any, status: int = 200) -> Callable[[web.Request], Any]:
    async def handler(_: web.Request) -> web.Response:
        return web.Response(text=body if isinstance(body, str) else json.dumps(body), status=status)

    return handler
