"""Delegates that run: keys, signatures, and the hosts that join the pure consensus to clocks, disks and networks.

In come a genesis with its delegates and the chain's executor; out come committed blocks, each with its certificate.
"""
