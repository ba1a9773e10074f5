"""The exception tree: every error that reaches a user has a stable code, what was wrong, the value, and what to do."""

from __future__ import annotations


class W3bstreamError(Exception):
    """Base of all our errors.

    Parameters: `code` is a row of `verifier.error_codes.CODES` ("W3B-1001"); `message` says what was wrong and with
    which value; `field` names the offending input, or is empty; `next_step` says what to do, default the code's own.
    """

    def __init__(self, code: str, message: str, *, field: str = "", next_step: str = "") -> None:
        super().__init__(f"{code}: {message}")
        from verifier.error_codes import CODES

        row = CODES[code]
        self.code = code
        """Stable code, `W3B-` and four digits."""
        self.message = message
        """What was wrong, with the value."""
        self.field = field
        """The offending field, dotted, or empty."""
        self.next_step = next_step or row.next_step
        """What the reader can do about it."""

    def __reduce__(self) -> tuple[object, ...]:
        """Pickle by value: errors cross process boundaries (Ray)."""
        return (_rebuild, (self.__class__, self.code, self.message, self.field, self.next_step))


def _rebuild(cls: type[W3bstreamError], code: str, message: str, field: str, next_step: str) -> W3bstreamError:
    return cls(code, message, field=field, next_step=next_step)


class InvalidInput(W3bstreamError):
    """The caller's input is malformed or out of range."""


class Refused(W3bstreamError):
    """A proof, signature or statement does not hold."""


class NotFound(W3bstreamError):
    """The named thing does not exist."""


class Conflict(W3bstreamError):
    """The current state forbids the request (wrong state, stale fence, reused idempotency key)."""


class Denied(W3bstreamError):
    """No valid API key, or one without the scope."""


class Unavailable(W3bstreamError):
    """A part we depend on (NATS, chain, Ray) does not answer; nothing accepted is lost and the work is retried."""
