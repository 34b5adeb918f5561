"""The bot. `application.py` has the handler table; handlers parse, call one use case, and show a
view; views are pure; `local.py` is the Telegram that runs in this process."""
