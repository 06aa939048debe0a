"""The browser page: what it is made of, the runtime that it needs, and the server for it."""
