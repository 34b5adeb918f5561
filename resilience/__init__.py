"""Mechanisms that keep work safe. Generic: no product word, no vendor but aiobreaker and tenacity.

Read guard.py first: it puts breaker, retry, bucket, bulkhead and deadline round a dependency. saga/
runs workflows and undoes them."""
