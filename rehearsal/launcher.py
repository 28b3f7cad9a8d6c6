"""Where `./run COMMAND ARGS` arrives once the .venv is in order."""
# ruff: noqa: T201

import sys
from collections.abc import Sequence

from rehearsal.commands import COMMANDS
from rehearsal.environment import SetupFault


def main(argv: Sequence[str]) -> int:
    name = argv[0] if argv else "up"
    if name not in COMMANDS:
        print(f"There is no command {name}: see ./run help", file=sys.stderr)
        return 2
    try:
        return COMMANDS[name](argv[1:])
    except SetupFault as fault:
        print(fault, file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
