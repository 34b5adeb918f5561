"""The Matching agent: what is left out and why, then who fits best. Read `agent.py` first."""
