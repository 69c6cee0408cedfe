"""Measurements with a target and a peer for each figure. Run as `tools/bench`; see `__main__` for the options.

Theory of operation
-------------------
A *row* is one figure: what is measured, in which unit, what we want to reach (`target`) and who stands beside it. A
*case* measures one or more rows, several rounds long; a row's value is the median of its rounds. Every figure comes
from a process of its own (`probe`), so that no row finds another's memory, garbage or caches; ours and the Python peers
take turns within each round, so that a slow minute of the machine hits both. Figures that cannot be measured here (BEAM,
ejabberd, Prosody) are named constants with their source (`constants`).

A target that is not met, and a row that failed, stay in the result as such.
"""
