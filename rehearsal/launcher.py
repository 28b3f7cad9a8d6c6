"""Where `./run COMMAND ARGS` arrives once the .venv is in order."""
# ruff: noqa: T201

import os
import sys
from collections.abc import Sequence

from rehearsal.commands import COMMANDS
from rehearsal.faults import SetupFault


def main(argv: Sequence[str]) -> int:
    name = argv[0] if argv else "up"
    if name not in COMMANDS:
        print(f"There is no command {name}: see ./run help", file=sys.stderr)
        return 2
    code = 0
    try:
        code = COMMANDS[name](argv[1:])
        sys.stdout.flush()
    except SetupFault as fault:
        print(fault, file=sys.stderr)
        code = 1
    except BrokenPipeError:
        # As with `| head`: the reader has enough, and Python must not try again at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
