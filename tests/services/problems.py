"""The one way in which things go wrong here: with a message for the person who started them."""


class Failed(Exception):
    """Says what is wrong and what to do."""
