"""The book: what it refuses, and that it balances whatever is asked of it at once."""
