"""The room of the two-tier cache. Empty until there is something slow or paid to remember."""
