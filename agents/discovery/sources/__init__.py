"""Adapters: where postings come from. Each implements `discovery.port.Source`."""
