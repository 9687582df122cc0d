"""Generate many sounds at once: requests join and leave a running batch between two steps; see engine.py."""
