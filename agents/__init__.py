"""The product: use cases (`scout.py` first), the agents they call, and what they keep."""
