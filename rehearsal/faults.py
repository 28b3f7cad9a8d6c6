"""What only the person at the keyboard can put right."""


class SetupFault(Exception):
    """Something the person at the keyboard must change; the message is one clear sentence with the fix."""
