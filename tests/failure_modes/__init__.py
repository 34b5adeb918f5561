"""Each failure mode of docs/failure-modes.md, played."""
