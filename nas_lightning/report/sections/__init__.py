"""The sections of a page: each is a function that gives a `Section`, or None without its data."""
