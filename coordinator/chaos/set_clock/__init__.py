"""A folder for `PYTHONPATH`: what Python finds in it sets a process's wall clock wrong (`coordinator.chaos.wall_clock`).

In comes a file with an offset, named by the environment; out goes a process whose `time.time` follows it.
"""
