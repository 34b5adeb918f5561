"""The Action agent: drafts applications. Read `agent.py` first."""
