"""The pages of the browser demo; app.py puts them together and serves them."""
