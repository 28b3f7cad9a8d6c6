"""The outbox, the relay and the workers, on a database of their own and a real Redis."""
