"""The web server: in local mode, the chat page."""
