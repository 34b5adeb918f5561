"""The deterministic crash simulation: one seed decides the saga, the faults and every task's turn.

Read `simulation.py` (one world from its beginning to its rest), then `promises.py` (what must hold
then) and `planted.py` (bugs that the promises must catch).
"""
