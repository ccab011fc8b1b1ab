"""`mull batch` in a process of its own, for tests to kill."""

import argparse
import sys

from mull import cli
from mull.cli import batch


def parser() -> argparse.ArgumentParser:
    """Of this one command."""
    made = argparse.ArgumentParser(prog="mull")
    batch.add_parser(made.add_subparsers(dest="command"))
    return made


if __name__ == "__main__":
    cli._parser = parser
    sys.exit(cli.main(["batch", *sys.argv[1:]]))
