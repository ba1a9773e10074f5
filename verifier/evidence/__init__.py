"""Evidence that a result was proven, recorded and settled, in one file that anybody checks without a connection.

In come a file's bytes (a stranger's) and, if there is one, a trust file; out goes a report with every check that held
and every anchor it rests on, or the first check that did not hold. docs/reference/evidence-format.md has the format.
"""
