"""The Discovery agent: gathers postings from sources. Read `agent.py` first."""
