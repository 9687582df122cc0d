"""`soundloom serve`: an HTTP interface to one model, for programs; the demo for people beside it."""
