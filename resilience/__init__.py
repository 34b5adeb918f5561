"""Mechanisms that keep work safe: saga, clock. Generic: no product word, no vendor."""
