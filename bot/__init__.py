"""What people touch: the chat, the web server, the command line. Start at `bootstrap.py`."""
