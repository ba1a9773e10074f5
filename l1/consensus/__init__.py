"""Roll-DPoS as a pure state machine: votes, proposals, certificates and the clock's readings come in; votes to cast,
blocks to build, timers to set and decisions come out. No clock, no socket, no disk and no key is touched here.

`machine` is the protocol, one table of transitions; `tally` counts votes by power; `driver` joins the two for one
delegate; `schedule`, `parameters` and `delegates` are the arithmetic of rounds, eras and quorums; `messages` and
`certificate` are what is signed and how it is encoded.
"""
