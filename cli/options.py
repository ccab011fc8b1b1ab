"""Options that several commands share: how a question is answered, by which model, with what."""

from __future__ import annotations

import argparse


def add_answering(parser: argparse.ArgumentParser) -> None:
    """Add depth, verifier, seed, model and tools."""
    parser.add_argument(
        "--depth",
        metavar="D",
        default="auto",
        help="auto, direct, reason, reflect, vote or search (default: auto)",
    )
    parser.add_argument(
        "--effort", metavar="E", help="low, medium, high or max: a budget and the deepest depth"
    )
    parser.add_argument(
        "--verify",
        metavar="V",
        help="verifier of candidates: equations, code or judge; in a chat also human",
    )
    parser.add_argument("--samples", metavar="N", type=int, help="the most chains of a vote")
    parser.add_argument("--seed", metavar="N", type=int, help="for runs that can be repeated")
    parser.add_argument("--model", metavar="M", help="the model's name; demo is built in")
    parser.add_argument("--base-url", metavar="U", help="an OpenAI-compatible address, up to /v1")
    parser.add_argument(
        "--tools", metavar="A,B", default="", help="tools it may use: python, search, read"
    )
    parser.add_argument(
        "--docs",
        metavar="DIR",
        action="append",
        default=[],
        help="a folder or file it may search and cite; may be given several times",
    )
