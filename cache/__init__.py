"""A two-tier cache: memory, then a persistent tier. Generic: no product word.

Read tiered.py first: it says what a caller gets. memory.py is the first tier, sqlite.py and
supabase.py are second tiers, write_behind.py is the way to them, single_flight.py lets many wait
for one.
"""
