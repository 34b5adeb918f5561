"""Language models: the port, the vendors behind it, and the border between free text and typed
values. Read `port.py` first, then `validator.py`."""
