"""The Triage agent: what somebody writes in free words, turned into tool calls. Read `agent.py`
first."""
