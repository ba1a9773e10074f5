"""Several RPC servers of one chain: what they say, and when enough of them say the same.

Rules: of `n` servers a majority is more than half of all, whether they answer or not. A server that is silent, behind,
or refuses to say takes no side. When a majority says one thing, that is the answer, and who says another thing gets a
strike. When two things are said and neither by a majority, nothing is believed (W3B-5012).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Sequence
from typing import Any, TypeVar

from coordinator.settlement.chain import Chain, Disagreement, Reverted, RpcRefused
from coordinator.settlement.endpoints import Endpoint
from verifier.errors import Conflict, Unavailable, W3bstreamError

Found = TypeVar("Found")
Question = Callable[[Chain], Awaitable[Any]]
Said = list[tuple[Endpoint, Any]]
"""Who said what; a refusal stands as the exception."""


def _by_key(said: Said, key: Callable[[Any], Hashable]) -> dict[Hashable, Said]:
    groups: dict[Hashable, Said] = {}
    for endpoint, answer in said:
        groups.setdefault(key(answer), []).append((endpoint, answer))
    return groups


def _shown(groups: dict[Hashable, Said]) -> str:
    return "; ".join(f"{', '.join(each.name for each, _ in group)}: {str(key)[:80]}" for key, group in groups.items())


class Quorum:
    """The servers of one chain. Parameters: `endpoints` are two or more."""

    def __init__(self, endpoints: Sequence[Endpoint]) -> None:
        self.endpoints = tuple(endpoints)
        """Every server of the setting, in its order."""
        self.majority = len(endpoints) // 2 + 1
        """More than half; both of two."""
        self.head: int | None = None
        """Number of the head as it was last agreed on."""
        self._identity: tuple[int, str] | None = None
        self._opening = asyncio.Lock()
        self._calls: set[asyncio.Task[object]] = set()

    @property
    def problems(self) -> list[str]:
        """What is wrong with servers, by name."""
        return [f"{each.name} {each.problem}" for each in self.endpoints if each.problem]

    async def identity(self) -> tuple[int, str]:
        """(chain id, genesis hash) that all servers which answer have.

        Raises Conflict (W3B-5014) when two differ, Unavailable (W3B-5001) when none answers.
        """
        async with self._opening:
            if self._identity is None:
                said = await self._gather(self._usable(), _identity_of)
                found = {answer for _, answer in said}
                if len(found) > 1:
                    shown = "; ".join(f"{each.name}: chain {a[0]}, genesis {a[1]}" for each, a in said)
                    raise Conflict("W3B-5014", f"the RPC servers are of different chains: {shown}")
                if not found:
                    raise self._silence()
                for endpoint, _ in said:
                    endpoint.admitted = True
                (self._identity,) = found
        return self._identity

    def _usable(self) -> list[Endpoint]:
        return [each for each in self.endpoints if each.usable]

    def _silence(self) -> Unavailable:
        return Unavailable("W3B-5001", "no RPC server answers: " + ("; ".join(self.problems) or "none was asked"))

    async def ask(self, question: Question, *, enough: int, key: Callable[[Any], Hashable]) -> Said:
        """What the servers say, once `enough` of them say the same and the others had a moment, or all are through."""
        await self.identity()
        return await self._gather(self._usable(), question, enough=enough, key=key)

    async def _gather(
        self,
        endpoints: Sequence[Endpoint],
        question: Question,
        *,
        enough: int = 0,
        key: Callable[[Any], Hashable] = lambda answer: answer,
    ) -> Said:
        calls = {asyncio.create_task(self._one(each, question)): each for each in endpoints}
        pending, said, patience = set(calls), [], None
        try:
            while pending:
                done, pending = await asyncio.wait(pending, timeout=patience, return_when=asyncio.FIRST_COMPLETED)
                said += [(calls[call], call.result()) for call in done if call.result() is not _SILENT]
                if patience is not None and not done:
                    break
                answers = [(each, answer) for each, answer in said if not isinstance(answer, RpcRefused)]
                if enough and any(len(group) >= enough for group in _by_key(answers, key).values()):
                    patience = min((each.limits.hedge_seconds for each in endpoints), default=0.0)
        except BaseException:
            for call in pending:
                call.cancel()
            raise
        for call in pending:
            self._leave(calls[call], call)
        return sorted(said, key=lambda each: self.endpoints.index(each[0]))

    def _leave(self, endpoint: Endpoint, call: asyncio.Task[Any]) -> None:
        endpoint.leave(call)
        self._calls.add(call)
        call.add_done_callback(self._calls.discard)

    async def _one(self, endpoint: Endpoint, question: Question) -> Any:
        try:
            if self._identity is not None and not endpoint.admitted and not await self._admit(endpoint):
                return _SILENT
            return await endpoint.ask(question)
        except (Reverted, RpcRefused) as error:
            return error
        except Unavailable:
            return _SILENT

    async def _admit(self, endpoint: Endpoint) -> bool:
        found = await endpoint.ask(_identity_of)
        if found != self._identity:
            endpoint.expel(f"is of another chain: id {found[0]}, genesis {found[1]}")
            return False
        endpoint.admitted = True
        return True

    def decide(self, said: Said, *, need: int, key: Callable[[Any], Hashable], what: str) -> Any:
        """The answer that `need` servers give and none contradicts, or that a majority gives.

        Raises what the servers raise when all that answer refuse; Disagreement (W3B-5012, W3B-5013); Unavailable
        (W3B-5001) when none answers.
        """
        answers = [(each, answer) for each, answer in said if not isinstance(answer, RpcRefused)]
        if not answers:
            raise said[0][1] if said else self._silence()
        groups = _by_key(answers, key)
        best = max(groups.values(), key=len)
        if len(best) >= self.majority and len(self.endpoints) > 2:
            self._mark(groups, best, what)
        elif len(groups) > 1:
            raise Disagreement("W3B-5012", f"the RPC servers contradict each other about {what}: {_shown(groups)}")
        elif len(best) < need:
            names = ", ".join(each.name for each, _ in best)
            message = f"only {len(best)} of {len(self.endpoints)} RPC servers ({names}) say {what}; {need} must"
            raise Disagreement("W3B-5013", "; ".join([message, *self.problems]))
        answer = best[0][1]
        if isinstance(answer, W3bstreamError):
            raise answer
        return answer

    @staticmethod
    def _mark(groups: dict[Hashable, Said], best: Said, what: str) -> None:
        for group in groups.values():
            for endpoint, _ in group:
                if group is best:
                    endpoint.agreed()
                else:
                    endpoint.contradicted(what)

    async def tell_all(self, raw: bytes) -> None:
        """Hand a transaction to every server; returns when one has taken it and the others had a moment.

        Raises Unavailable (W3B-5001) when none answers, RpcRefused or Reverted when all that answer refuse.
        """
        await self.identity()

        async def hand_in(chain: Chain) -> bool:
            await chain.send_raw(raw)
            return True

        said = await self._gather(self._usable(), hand_in, enough=1, key=lambda answer: answer is True)
        if any(answer is True for _, answer in said):
            return
        raise said[0][1] if said else self._silence()

    async def close(self) -> None:
        """Give up calls under way and the connections."""
        for call in tuple(self._calls):
            call.cancel()
        await asyncio.gather(*self._calls, return_exceptions=True)
        for endpoint in self.endpoints:
            await endpoint.chain.close()


_SILENT = object()


async def _identity_of(chain: Chain) -> tuple[int, str]:
    number, genesis = await chain.chain_id(), await chain.block(0)
    if genesis is None:
        raise Unavailable("W3B-5001", "it has no block 0")
    return number, genesis.hash
