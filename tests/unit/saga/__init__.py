"""The saga: its table of transitions and its orchestrator."""
