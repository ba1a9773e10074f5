"""Delegates of the consensus on a virtual clock and a seeded network that breaks, some of them byzantine, every step
checked. In comes a seed, out come the heights that were decided and the violations that were seen.

`plan` draws what goes wrong from the seed, `world` runs it, `host` is an honest delegate around a driver, `adversary`
and `wills` are the others, `checker` is what must hold. `reference_port` is the rule of iotex-core, which the same
faults fork; `fork` and `accountability` are for runs in which too many are byzantine.
"""
