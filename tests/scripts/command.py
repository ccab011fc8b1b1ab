"""`mull run` as a process, before any other command is known: the ARGUMENTS of `mull run`."""

import argparse
import sys

from mull.cli import exit_code
from mull.cli.run import add_parser, run
from mull.errors import MullError


def main() -> int:
    """Run the command; its exit code."""
    parser = argparse.ArgumentParser()
    add_parser(parser.add_subparsers(dest="command"))
    try:
        return run(parser.parse_args(["run", *sys.argv[1:]]))
    except MullError as error:
        print(f"mull: {error}", file=sys.stderr)
        return exit_code(error)


if __name__ == "__main__":
    sys.exit(main())
