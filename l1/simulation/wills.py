"""What byzantine delegates do, one will each: the faults that a plan may give them."""

from __future__ import annotations

from l1.consensus.certificate import bitmap_of
from l1.consensus.machine import NIL, NO_ROUND, Topic
from l1.consensus.messages import Certificate, Decision, Proposal, Vote
from l1.consensus.proposals import MAX_PROPOSALS
from l1.consensus.quorums import ROUND_WINDOW
from l1.simulation.adversary import Adversary, Sends, Will
from l1.simulation.blocks import GENESIS_HASH, decode, hash_of
from l1.simulation.fault import Fault
from l1.simulation.host import Sent


class Silent(Will):
    """Says nothing, some or all of the time."""

    fault = Fault.SILENT

    def __init__(self) -> None:
        self._until = -1
        self._height = 0

    def twist(self, me: Adversary, sends: Sends) -> Sends:
        if me.height > self._height:
            self._height = me.height
            self._until = me.height if me.sometimes(0.6) else -1
        return [] if me.height <= self._until else sends


class Equivocating(Will):
    """Votes for one thing before some, for another before the rest."""

    fault = Fault.EQUIVOCATING

    def twist(self, me: Adversary, sends: Sends) -> Sends:
        twisted: Sends = []
        for receivers, message in sends:
            others = [] if not isinstance(message, Vote) else [c for c in me.candidates() if c != message.block_hash]
            if not isinstance(message, Vote) or not others or me.sometimes(0.2):
                twisted.append((receivers, message))
                continue
            first = me.some(receivers)
            other = me.vote(message.height, message.round, message.topic, me.rng.choice(others))
            twisted += [(first, message), ([each for each in receivers if each not in first], other)]
            if me.sometimes(0.2):
                twisted.append((receivers, other))
        return twisted


class DoubleProposing(Will):
    """Proposes several blocks in one round, whatever it is locked on."""

    fault = Fault.DOUBLE_PROPOSING

    def twist(self, me: Adversary, sends: Sends) -> Sends:
        twisted: Sends = []
        for receivers, message in sends:
            if not isinstance(message, Proposal):
                twisted.append((receivers, message))
                continue
            blocks = [me.fresh(message.round) for _ in range(me.rng.choice((1, 1, 2, 6)))]
            made = [message, *(me.proposal(message.round, block, NO_ROUND, None) for block in blocks)]
            for each in made:
                twisted.append((me.some(receivers), each))
            me.rng.shuffle(twisted)
        return twisted


class Flooding(Will):
    """Proposes many blocks for each round that is its turn, those that are over and those to come."""

    fault = Fault.FLOODING

    def tick(self, me: Adversary) -> None:
        present, seats = max(0, me.driver.state.round), len(me.world.electorates.set_of(me.height))
        oldest = max(0, present - ROUND_WINDOW)
        first = next(each for each in range(oldest, oldest + seats) if me.proposes(me.height, each))
        turns = range(first, present + ROUND_WINDOW + 1, seats)
        for round_ in me.rng.sample(turns, min(len(turns), 3)):
            blocks = [me.fresh(round_) for _ in range(me.rng.choice((1, 2, MAX_PROPOSALS)))]
            me.say([(me.some(me.others), me.proposal(round_, block, NO_ROUND, None)) for block in blocks])


class Amnesic(Will):
    """Forgets its lock and its votes (`Adversary.forget`)."""

    fault = Fault.AMNESIC


class Withholding(Will):
    """Lets only some hear it, COMMIT votes one at most."""

    fault = Fault.WITHHOLDING

    def twist(self, me: Adversary, sends: Sends) -> Sends:
        twisted: Sends = []
        for receivers, message in sends:
            chosen = me.some(receivers)
            if isinstance(message, Vote) and message.topic is Topic.COMMIT:
                chosen = chosen[:1]
            if chosen:
                twisted.append((chosen, message))
        return twisted


class Replaying(Will):
    """Says again what anybody said, as it was, or at another place, or under another name, or on another chain."""

    fault = Fault.REPLAYING
    needs_seat = False

    def tick(self, me: Adversary) -> None:
        recent = me.known.recent
        for _ in range(min(3, len(recent))):
            message = recent[me.rng.randrange(len(recent))]
            me.world.send(me.number, me.some(me.others), self._changed(me, message))
            me.did(self)

    def _changed(self, me: Adversary, message: Sent) -> Sent:
        kind = me.rng.randrange(7)
        if not isinstance(message, Vote | Proposal) or kind < 2:
            return message
        if kind == 2:
            return message._replace(round=max(0, message.round + me.rng.choice((-2, -1, 1, 2))))
        if kind == 3:
            return message._replace(height=me.height)
        if kind == 4 and isinstance(message, Vote) and me.seat is not None:
            return me.world.scheme.of_other_chain(me.vote(me.height, message.round, message.topic, message.block_hash))
        renamed = message._replace(delegate=me.rng.randrange(len(me.peers) + 2))
        if kind == 5 and isinstance(renamed, Vote):
            return self._under_any_seat(me, renamed)
        return renamed

    def _under_any_seat(self, me: Adversary, vote: Vote) -> Vote:
        """Signed with its own key, which counts only under its own seat."""
        seat = me.seat_at(vote.height)
        return vote if vote.delegate == seat else me.world.scheme.forged(vote, me.number)


class RoundSkipping(Will):
    """Votes in rounds where nobody is."""

    fault = Fault.ROUND_SKIPPING

    def tick(self, me: Adversary) -> None:
        far = me.rng.choice((1, 1, 2, 3, 10, 60, 64, 65, 100, 10_000))
        round_ = max(0, me.driver.state.round + me.rng.choice((1, 1, 1, -1)) * far)
        vote = me.vote(me.height, round_, me.rng.choice(list(Topic)), me.rng.choice(me.candidates()))
        me.say([(me.some(me.others), vote)])


class InvalidBlocks(Will):
    """Proposes blocks that may not follow the head, and bytes that are not the block they are said to be."""

    fault = Fault.INVALID_BLOCKS

    def twist(self, me: Adversary, sends: Sends) -> Sends:
        return [
            (receivers, self._spoilt(me, message) if isinstance(message, Proposal) and me.sometimes(0.8) else message)
            for receivers, message in sends
        ]

    def _spoilt(self, me: Adversary, proposal: Proposal) -> Proposal:
        block = decode(proposal.block)
        spoilt = me.rng.choice(
            (
                block._replace(sound=False),
                block._replace(height=block.height + 1),
                block._replace(parent=GENESIS_HASH if block.height > 1 else NIL),
                block._replace(time=0),
                block._replace(time=block.time + 10**9),
            )
        ).encode()
        if me.sometimes(0.2):
            return proposal._replace(block=spoilt)
        return me.proposal(proposal.round, spoilt, NO_ROUND, None)


class ForgedProofs(Will):
    """Shows certificates that show nothing, or something else; and true ones of rounds long gone."""

    fault = Fault.FORGED_PROOFS
    needs_seat = False

    def twist(self, me: Adversary, sends: Sends) -> Sends:
        return [
            (receivers, self._proven(me, message) if isinstance(message, Proposal) and me.sometimes(0.9) else message)
            for receivers, message in sends
        ]

    def tick(self, me: Adversary) -> None:
        known = me.certificates()
        if known and me.sometimes(0.5):
            me.say([(me.some(me.others), me.rng.choice(known))])
        if me.sometimes(0.3) and me.allies:
            round_ = max(0, me.driver.state.round + me.rng.choice((-1, 0, 0, 1)))
            block = me.fresh(round_)
            topic = me.rng.choice(list(Topic))
            alone = me.sum_of(round_, topic, hash_of(block), me.allies)
            forged = me.rng.choice((alone, self._crowded(me, alone)))
            me.say([(me.some(me.others), me.rng.choice((forged, Decision(forged, block))))])

    def _proven(self, me: Adversary, proposal: Proposal) -> Proposal:
        blocks = me.known.proposals.get(me.height, {})
        known = [each for each in me.certificates() if each.block_hash in blocks]
        if known and me.sometimes(0.6):
            proof = me.rng.choice(known)
            return me.proposal(proposal.round, blocks[proof.block_hash].block, proof.round, proof)
        block = me.fresh(proposal.round)
        round_ = max(0, proposal.round - me.rng.choice((0, 1, 1, 2)))
        alone = me.sum_of(round_, me.rng.choice((Topic.PROPOSAL, Topic.LOCK)), hash_of(block), me.allies)
        proof = me.rng.choice(
            (alone, self._crowded(me, alone), *(each._replace(block_hash=hash_of(block)) for each in known))
        )
        return me.proposal(proposal.round, block, proof.round, me.rng.choice((proof, proof, None)))

    def _crowded(self, me: Adversary, certificate: Certificate) -> Certificate:
        """The certificate in everybody's name."""
        count = len(me.world.electorates.set_of(certificate.height))
        return certificate._replace(signers=bitmap_of(range(count), count))


class Splitting(Will):
    """Brings about quorums that one honest delegate alone sees, another one each round; all who split do it together.

    Votes with the honest majority before the victim, and with the others otherwise; proposes what the most are not
    locked on.
    """

    fault = Fault.SPLITTING

    def twist(self, me: Adversary, sends: Sends) -> Sends:
        return [(receivers, message) for receivers, message in sends if not isinstance(message, Vote)]

    def tick(self, me: Adversary) -> None:
        height = me.height
        rounds = [me.world.hosts[each].driver.state for each in me.others if me.world.hosts[each].up]
        rounds = [each for each in rounds if each.height == height and each.round >= 0]
        if not rounds:
            return
        round_ = me.rng.choice(rounds).round
        victim = me.others[(me.world.plan.seed + 31 * height + round_) % len(me.others)]
        rest = [each for each in me.others if each != victim]
        for topic in Topic:
            chosen = self._favourite(me, round_, topic)
            if chosen is None:
                continue
            me.say([([victim], me.vote(height, round_, topic, chosen))])
            others = [each for each in me.candidates() if each != chosen]
            if me.sometimes(0.7):
                me.say([(me.some(rest), me.vote(height, round_, topic, me.rng.choice(others)))]) if others else None
        if me.proposes(height, round_) and me.sometimes(0.5):
            me.say([(me.some(rest), me.proposal(round_, me.fresh(round_), NO_ROUND, None))])

    def _favourite(self, me: Adversary, round_: int, topic: Topic) -> bytes | None:
        """What the most power votes for, in this topic or the one before."""
        votes = me.known.votes.get(me.height, {})
        delegates = me.world.electorates.set_of(me.height)
        power = {
            block_hash: delegates.power_of(held)
            for (of, on, block_hash), held in votes.items()
            if of == round_ and on in (topic, topic - 1) and block_hash != NIL
        }
        return max(power, key=lambda each: power[each]) if power else None


class Usurping(Will):
    """Lets a delegate that is not heard decide alone, then proposes another block to the rest, and votes for it."""

    fault = Fault.USURPING
    needs_seat = False

    def twist(self, me: Adversary, sends: Sends) -> Sends:
        twisted: Sends = []
        for receivers, message in sends:
            if isinstance(message, Vote) and message.topic is Topic.COMMIT:
                twisted.append((self._unheard(me)[:1], message))
            elif not isinstance(message, Decision) and message.height not in me.world.checker.blocks:
                twisted.append((receivers, message))
        return twisted

    def tick(self, me: Adversary) -> None:
        hosts = [me.world.hosts[each] for each in me.others if me.world.hosts[each].up]
        height = min((host.height for host in hosts), default=0)
        rest = [host for host in hosts if host.height == height]
        seat = me.seat_at(height)
        if not rest or len(rest) == len(hosts) or seat is None:
            return
        receivers = [host.number for host in rest]
        round_ = rest[0].driver.state.round
        if round_ >= 0 and me.proposes(height, round_):
            if (height, round_) not in self._proposed:
                block = decode(rest[0].build(height, round_))._replace(producer=seat, salt=me.rng.getrandbits(60))
                self._proposed[height, round_] = hash_of(block.encode())
                made = Proposal(height, round_, hash_of(block.encode()), seat, block=block.encode())
                me.say([(receivers, me.world.scheme.sign_proposal(made))])
            chosen = self._proposed[height, round_]
            me.say([(receivers, me.vote(height, round_, topic, chosen)) for topic in Topic])

    def __init__(self) -> None:
        self._proposed: dict[tuple[int, int], bytes] = {}

    def _unheard(self, me: Adversary) -> list[int]:
        """Honest delegates, those whose messages reach the fewest first."""
        cut = me.world.cut()
        return sorted(me.others, key=lambda each: -sum(sender == each for sender, _ in cut))


WILLS: dict[Fault, type[Will]] = {
    each.fault: each
    for each in (
        Silent,
        Equivocating,
        DoubleProposing,
        Flooding,
        Amnesic,
        Withholding,
        Replaying,
        RoundSkipping,
        InvalidBlocks,
        ForgedProofs,
        Splitting,
        Usurping,
    )
}
"""What a byzantine delegate's faults mean."""
