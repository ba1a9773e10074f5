"""For those who receive webhooks in Python: check the signature and get the event.

Nothing here needs the service; any Standard Webhooks library does the same.
"""

from __future__ import annotations

import binascii
from collections.abc import Mapping
from typing import Any

from standardwebhooks import Webhook, WebhookVerificationError

from verifier.errors import Refused


def verify(headers: Mapping[str, str], body: bytes, secret: str) -> dict[str, Any]:
    """The CloudEvents event, when the signature holds and the timestamp is within five minutes of now.

    Parameters: the request's headers (any case), its body byte for byte, the endpoint's secret `whsec_…`.
    The same `webhook-id` may come more than once: act on it once. Raises Refused (W3B-6003).
    """
    try:
        event = Webhook(secret).verify(body, dict(headers))
    except (WebhookVerificationError, binascii.Error, ValueError, IndexError) as error:
        raise Refused("W3B-6003", f"the webhook does not verify: {error}", field="webhook-signature") from error
    if not isinstance(event, dict):
        raise Refused("W3B-6003", "the signed body is no JSON object", field="body")
    return event
