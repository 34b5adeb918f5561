"""The command line. `main.py` reads the words, one file for each command does the work."""
