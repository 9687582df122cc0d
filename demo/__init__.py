"""The browser demo: its page, and a file for each tab."""
