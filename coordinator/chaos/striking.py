"""Faults at work: each strikes when its time has come and its target is there, and is taken back when it is over."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from coordinator.chaos.faults import Fault, FaultKind
from coordinator.chaos.parts import ChainPart, ReceiverPart, ServicePart
from coordinator.chaos.rpc_proxy import Wire
from coordinator.chaos.wall_clock import WallClock

PATIENCE_SECONDS = 15.0
"""How long a fault waits for its target: a worker that is just starting, say."""
JUMP_SECONDS = 7200
"""How far the clock is set ahead or back."""
RESTART_SECONDS = 1.0
"""After this the service is started again when it ended by itself, as systemd would."""


@dataclass
class Struck:
    """A fault and what became of it."""

    fault: Fault
    struck_at: float | None = None
    """Seconds from the beginning of the load; None until it struck."""
    target: str = ""
    """What it struck."""
    given_up: bool = False
    """Its target was not there in time."""

    def as_dict(self) -> dict[str, object]:
        """For JSON."""
        return {
            "at": self.fault.at,
            "kind": self.fault.kind.value,
            "seconds": self.fault.seconds,
            "struck_at": None if self.struck_at is None else round(self.struck_at, 2),
            "target": self.target,
        }


@dataclass
class _Later:
    at: float
    act: Callable[[], object]


@dataclass
class Striking:
    """Strikes a schedule's faults at one installation.

    `tick` is called again and again with the seconds since the load began; `told` hears of everything that happened.
    `chain` is None where the service runs its own, `clock` where it goes by the machine's.
    """

    service: ServicePart
    receiver: ReceiverPart
    faults: Iterable[Fault]
    told: Callable[[str], None]
    chain: ChainPart | None = None
    clock: WallClock | None = None
    struck: list[Struck] = field(init=False)
    """One for each fault."""
    ended_by_itself: int = 0
    """How often the service ended though nobody killed it."""
    _later: list[_Later] = field(default_factory=list)
    _stays_down: bool = False

    def __post_init__(self) -> None:
        self.struck = [Struck(fault) for fault in self.faults]

    def tick(self, now: float) -> None:
        """Do what is due."""
        for later in [each for each in self._later if each.at <= now]:
            self._later.remove(later)
            later.act()
        self._keep_service(now)
        for each in self.struck:
            if each.struck_at is None and not each.given_up and each.fault.at <= now:
                self._try(each, now)

    def take_back(self, now: float) -> None:
        """End every fault that lasts, and strike no more."""
        for each in self.struck:
            each.given_up = each.given_up or each.struck_at is None
        for later in self._later:
            later.act()
        self._later.clear()
        self._keep_service(now)

    def _keep_service(self, now: float) -> None:
        if self.service.ended is not None and not self._stays_down:
            self.ended_by_itself += 1
            self.told(f"the service ended by itself with status {self.service.ended}; it is started again")
            self._start_later(now + RESTART_SECONDS)

    def _start_later(self, at: float) -> None:
        self._stays_down = True

        def start() -> None:
            self.service.start()
            self._stays_down = False

        self._later.append(_Later(at, start))

    def _try(self, each: Struck, now: float) -> None:
        target = self._strike(each.fault, now)
        if target:
            each.struck_at, each.target = now, target
            self.told(f"{each.fault.kind.value}: {target}, for {each.fault.seconds:g} s")
        elif now > each.fault.at + PATIENCE_SECONDS:
            each.given_up = True
            self.told(f"{each.fault.kind.value}: left out, its target was not there")

    def _strike(self, fault: Fault, now: float) -> str:
        """What was struck; empty when there was nothing to strike."""
        if fault.kind in _RECEIVER:
            return self._strike_receiver(fault, now)
        if fault.kind in _WIRE:
            return self._strike_wire(fault, now)
        if fault.kind is FaultKind.CLOCK_SET:
            return self._set_clock(fault, now)
        if self.chain is not None and fault.kind in (FaultKind.CHAIN_KILLED, FaultKind.CHAIN_FROZEN):
            return self._strike_chain(self.chain, fault, now)
        return self._strike_service(fault, now)

    def _strike_service(self, fault: Fault, now: float) -> str:
        targets = self.service.targets(fault.kind)
        if not targets:
            return ""
        target = targets[int(fault.pick * len(targets))]
        if fault.kind is FaultKind.COORDINATOR_KILLED:
            self.service.kill()
            self._start_later(now + fault.seconds)
            return target.name
        if fault.kind in _FROZEN:
            self._later.append(_Later(now + fault.seconds, lambda: target.send(signal.SIGCONT)))
            return target.name if target.send(signal.SIGSTOP) else ""
        return target.name if target.send(signal.SIGKILL) else ""

    def _strike_wire(self, fault: Fault, now: float) -> str:
        if self.chain is None:
            return ""
        proxy = self.chain.proxy
        proxy.wire = _WIRE[fault.kind]
        self._later.append(_Later(now + fault.seconds, lambda: setattr(proxy, "wire", Wire.WHOLE)))
        return f"wire to the chain ({proxy.url})"

    def _set_clock(self, fault: Fault, now: float) -> str:
        clock, seconds = self.clock, JUMP_SECONDS if fault.pick < 0.5 else -JUMP_SECONDS
        if clock is None or not self.service.running:
            return ""
        clock.set(seconds)
        self._later.append(_Later(now + fault.seconds, lambda: clock.set(0)))
        return f"wall clock, {seconds:+} s"

    def _strike_chain(self, chain: ChainPart, fault: Fault, now: float) -> str:
        target = chain.itself()
        if target is None:
            return ""
        if fault.kind is FaultKind.CHAIN_KILLED:
            chain.kill()
            self._later.append(_Later(now + fault.seconds, chain.start))
            return target.name
        self._later.append(_Later(now + fault.seconds, lambda: target.send(signal.SIGCONT)))
        return target.name if target.send(signal.SIGSTOP) else ""

    def _strike_receiver(self, fault: Fault, now: float) -> str:
        if not self.receiver.running:
            return ""
        ends = now + fault.seconds
        if fault.kind is FaultKind.RECEIVER_KILLED:
            self.receiver.kill()
            self._later.append(_Later(ends, self.receiver.start))
        else:
            self.receiver.behave("failing" if fault.kind is FaultKind.RECEIVER_FAILING else f"slow {fault.seconds:g}")
            self._later.append(_Later(ends, lambda: self.receiver.behave("ok")))
        return "webhook receiver"


_FROZEN = frozenset(
    {FaultKind.WORKER_FROZEN, FaultKind.COORDINATOR_FROZEN, FaultKind.NATS_FROZEN, FaultKind.CHAIN_FROZEN}
)
_WIRE = {
    FaultKind.RPC_DROPPING: Wire.DROPPING,
    FaultKind.RPC_SLOW: Wire.SLOW,
    FaultKind.RPC_DEAF: Wire.DEAF,
}
_RECEIVER = frozenset({FaultKind.RECEIVER_KILLED, FaultKind.RECEIVER_FAILING, FaultKind.RECEIVER_SLOW})
