"""The small modules under everything: configuration, money, phones, vault, logs, health."""
