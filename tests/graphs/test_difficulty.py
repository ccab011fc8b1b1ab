"""How hard a question is, and how likely an answer is right: features, estimate, belief, table."""

import itertools
import json
import time
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from fault_server import FaultServer, Reply
from hypothesis import given
from hypothesis import strategies as st
from leftovers import Leftovers

from mull.budgets import Budget, Ledger, Price
from mull.errors import WrongUsage
from mull.graphs import Calibration, Sample
from mull.graphs.difficulty import Cascade, Difficulty, Signs, believe, observed
from mull.graphs.difficulty.belief import REFUTED
from mull.graphs.difficulty.estimate import read_guess
from mull.graphs.difficulty.features import from_features
from mull.graphs.verifiers import Means
from mull.models import user

# --- features

TRIVIAL = [
    "What is the capital of France?",
    "Who wrote Hamlet?",
    "Hello",
    "Thank you!",
    "What is 2 + 2?",
    "12 * 7 =",
    "Define photosynthesis.",
    "When did World War II end?",
    "How many days are in a week?",
    "Write a haiku about autumn.",
]
SCHOOL = [
    "Janet's ducks lay 16 eggs per day. She eats three for breakfast every morning and bakes "
    "muffins for her friends every day with four. She sells the remainder at the farmers' market "
    "daily for $2 per fresh duck egg. How much does she make every day at the market?",
    "A train leaves at 3 pm at 60 km/h; another at 4 pm at 90 km/h. When does the second catch up?",
    "Is 1009 prime?",
    "What are the eigenvalues of [[2,1],[1,2]]?",
    "Use the numbers 4, 7, 8, 8 and + - * / to make 24.",
]
OLYMPIAD = [
    "Prove that there are infinitely many primes of the form 4k+3.",
    "Find the number of positive integers n ≤ 2020 such that n^2 + 1 is divisible by 5 but not by "
    "25.",
    "Let ABC be a triangle with AB = 13, BC = 14, CA = 15. The incircle touches BC at D. Find AD.",
    "Compute the integral of x^2 e^{-x} from 0 to infinity step by step.",
    "Find all polynomials P with integer coefficients such that P(n) divides 2^n - 1 for every "
    "positive integer n.",
]


@pytest.mark.parametrize("question", TRIVIAL)
def test_a_trivial_question_is_easy_from_its_text(question: str) -> None:
    assert from_features(question).level == "easy"


@pytest.mark.parametrize("question", SCHOOL)
def test_a_question_of_a_few_steps_is_medium_from_its_text(question: str) -> None:
    assert from_features(question).level == "medium"


@pytest.mark.parametrize("question", OLYMPIAD)
def test_a_question_of_an_olympiad_is_hard_from_its_text(question: str) -> None:
    assert from_features(question).level == "hard"


def test_of_two_kinds_of_questions_every_harder_one_seems_harder() -> None:
    kinds = [[from_features(q).p_direct for q in kind] for kind in (TRIVIAL, SCHOOL, OLYMPIAD)]
    for easier, harder in itertools.pairwise(kinds):
        assert min(easier) > max(harder)


@given(st.text())
def test_any_text_has_a_probability_from_its_features(question: str) -> None:
    assert 0 < from_features(question).p_direct < 1


@pytest.mark.parametrize(
    "piece", ["It is so. ", "1.2,", "? ", "; \n", " ", "\\a", "prove that ", "x+1=", "証明", "\0"]
)
def test_a_hostile_text_of_megabytes_is_read_in_no_time(piece: str) -> None:
    begun = time.monotonic()
    guess = from_features("1" + piece * (3_000_000 // len(piece)) + "x")
    assert time.monotonic() - begun < 2
    assert 0 < guess.p_direct < 1


@pytest.mark.parametrize(
    "question",
    [
        "Beweise, dass unendlich viele Primzahlen bei Division durch vier den Rest drei lassen.",
        "証明してください、素数は無限に存在する。",
    ],
)
def test_a_language_that_is_not_read_is_a_reason_for_doubt(question: str) -> None:
    guess = from_features(question)
    assert guess.p_direct < 0.9
    assert "not in English" in guess.reason


@pytest.mark.parametrize(
    ("p_direct", "level"), [(1.0, "easy"), (0.8, "easy"), (0.6, "medium"), (0.39, "hard")]
)
def test_a_difficulty_has_its_level_in_a_word(p_direct: float, level: str) -> None:
    assert Difficulty(p_direct=p_direct, source="features").as_dict()["level"] == level


@pytest.mark.parametrize("p_direct", [-0.1, 1.1, float("nan"), float("inf")])
def test_a_difficulty_that_is_no_probability_is_wrong_usage(p_direct: float) -> None:
    with pytest.raises(WrongUsage, match="p_direct"):
        Difficulty(p_direct=p_direct, source="mine")


# --- the model's estimate

HARD = SCHOOL[0]


async def assess(
    leftovers: Leftovers,
    question: str = HARD,
    *,
    budget: str = "",
    seconds: float | None = None,
    history: Any = (),
    **model: Any,
) -> tuple[Difficulty, Ledger]:
    """What the cascade says, and who paid for it."""
    ledger = leftovers.ledger(Budget.parse(budget) if budget else Budget())
    means = Means(ledger=ledger, model=leftovers.model(**model), seconds=seconds)
    return await Cascade().assess(question, history, means), ledger


@pytest.mark.parametrize("question", TRIVIAL)
async def test_the_model_is_not_asked_about_a_trivial_question(
    question: str, server: FaultServer, leftovers: Leftovers
) -> None:
    found, _ = await assess(leftovers, question)
    assert found.source == "features"
    assert not server.requests


async def test_where_the_text_leaves_doubt_the_model_is_asked_once_and_shortly(
    server: FaultServer, leftovers: Leftovers
) -> None:
    server.reply = "Answer: 95"
    found, ledger = await assess(leftovers)
    assert (found.source, ledger.spent().calls) == ("model", 1)
    assert server.requests[0].body["max_tokens"] <= 32
    assert from_features(HARD).p_direct < found.p_direct < 0.95


async def test_the_model_is_asked_after_the_earlier_turns(
    server: FaultServer, leftovers: Leftovers
) -> None:
    server.reply = "Answer: 95"
    await assess(leftovers, history=[user("Hello")])
    first, last = server.requests[0].body["messages"]
    assert first == user("Hello")
    assert HARD in last["content"]


@pytest.mark.parametrize(
    ("text", "guess"),
    [
        ("Answer: 85", 0.85),
        ("85", 0.85),
        ("Answer: 85%", 0.85),
        ("**Answer: 85 / 100**", 0.85),
        ("Answer: about 85 percent.", 0.85),
        ("Answer: 0.85", 0.85),
        ("Answer: 0.5%", 0.005),
        ("Answer: 100", 1.0),
        ("Answer: 0", 0.0),
        ("I know this well.\nAnswer: 85", 0.85),
    ],
)
def test_a_guess_is_read_in_the_forms_that_models_write(text: str, guess: float) -> None:
    assert read_guess(text) == pytest.approx(guess)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Let me see: 3 apples and 4",
        "Answer: 18 dollars",
        "Answer: high",
        "Answer: 101",
        "Answer: -5",
        "Answer: 1e9",
        "Answer: " + "9" * 5000,
        "3 or 4",
        "nan",
    ],
)
def test_what_is_no_percentage_is_no_guess(text: str) -> None:
    assert read_guess(text) is None


@given(st.text())
def test_any_reply_is_read_as_a_probability_or_as_none(text: str) -> None:
    guess = read_guess(text)
    assert guess is None or 0 <= guess <= 1


@pytest.mark.parametrize("said", ["It depends.", Reply("", reasoning="so " * 40)])
async def test_a_reply_without_an_estimate_leaves_what_the_text_says(
    said: Any, server: FaultServer, leftovers: Leftovers
) -> None:
    server.reply = lambda body: said
    found, _ = await assess(leftovers)
    assert (found.source, found.p_direct) == ("features", from_features(HARD).p_direct)
    assert "no estimate" in found.reason


@pytest.mark.parametrize("fault", ["status_400", "status_401", "status_500", "reset", "html"])
async def test_a_model_that_cannot_be_asked_leaves_what_the_text_says_and_why(
    fault: str, server: FaultServer, leftovers: Leftovers
) -> None:
    server.fault = fault
    found, _ = await assess(leftovers)
    assert found.source == "features"
    assert "could not be asked" in found.reason


async def test_a_model_that_hangs_is_left_after_a_small_part_of_the_time(
    server: FaultServer, leftovers: Leftovers
) -> None:
    server.fault = "hang_before_headers"
    found, ledger = await assess(leftovers, budget="seconds=60", seconds=3.0)
    assert found.source == "features"
    assert ledger.elapsed() < 2


@pytest.mark.parametrize("budget", ["tokens=500", "calls=1", "calls=5", "cost=0.0001"])
async def test_an_estimate_is_not_bought_with_much_of_what_the_answer_needs(
    budget: str, server: FaultServer, leftovers: Leftovers
) -> None:
    price = Price(input=Decimal(10), output=Decimal(10))
    found, _ = await assess(leftovers, budget=budget, price=price)
    assert found.source == "features"
    assert "too little is left" in found.reason
    assert not server.requests


@pytest.mark.parametrize("budget", ["tokens=20000", "calls=20", "seconds=60"])
async def test_an_estimate_is_bought_where_it_is_cheap_beside_the_budget(
    budget: str, server: FaultServer, leftovers: Leftovers
) -> None:
    server.reply = "Answer: 95"
    found, _ = await assess(leftovers, budget=budget)
    assert found.source == "model"


# --- belief


def sample(
    key: str | None = "1",
    passed: bool | None = None,
    *,
    sound: bool = False,
    number: int | None = None,
    **more: Any,
) -> Sample:
    """A whole sample; without `key`, an open-ended one."""
    made: Sample = {
        "id": f"s{next(_IDS) if number is None else number}",
        "ended": "whole",
        "text": f"Answer: {key}" if key else "a long text",
        "key": key,
        "open": key is None,
        "tokens": 20,
    }
    if passed is not None or "score" in more:
        made |= {"passed": passed, "sound": sound}
        made["score"] = {True: 0.9, False: 0.1, None: 0.5}[passed]
    made.update(more)  # type: ignore[typeddict-item]
    return made


_IDS = itertools.count()


def right(p_direct: float, *samples: Sample, calibration: Calibration | None = None) -> float:
    difficulty = Difficulty(p_direct=p_direct, source="features")
    return believe(difficulty, samples, calibration).p_right


verdicts = st.sampled_from([True, False, None])
samples_of = st.builds(
    sample,
    st.sampled_from(["1", "2", "3", None]),
    verdicts,
    sound=st.booleans(),
)
guesses = st.floats(0, 1)


@given(guesses, st.lists(samples_of, max_size=8))
def test_a_belief_is_a_probability(p_direct: float, samples: list[Sample]) -> None:
    assert 0 <= right(p_direct, *samples) <= 1


def test_without_an_answer_nothing_is_believed() -> None:
    failed: Sample = {"id": "s", "ended": "failed", "text": "", "key": None, "open": False}
    assert right(0.9) == right(0.9, failed) == 0


@given(st.floats(0.05, 0.95), st.sampled_from(["1", None]))
def test_a_single_answer_is_right_as_often_as_the_classifier_said(
    p_direct: float, key: str | None
) -> None:
    assert right(p_direct, sample(key)) == pytest.approx(p_direct)


@given(guesses, st.integers(1, 6), st.integers(0, 5))
def test_a_further_vote_for_it_never_lowers_the_belief(
    p_direct: float, votes: int, against: int
) -> None:
    leading = [sample("1") for _ in range(max(votes, against))]
    rivals = [sample("2") for _ in range(against)]
    before = right(p_direct, *leading, *rivals)
    assert right(p_direct, *leading, sample("1"), *rivals) >= before


@given(guesses, st.integers(2, 6), st.integers(0, 4))
def test_a_further_vote_against_it_never_raises_the_belief(
    p_direct: float, votes: int, against: int
) -> None:
    leading = [sample("1") for _ in range(votes)]
    rivals = [sample("2") for _ in range(min(against, votes - 1))]
    before = right(p_direct, *leading, *rivals)
    assert right(p_direct, *leading, *rivals, sample("2")) <= before


@given(guesses, st.integers(0, 5), st.sampled_from(["1", None]))
def test_a_verifiers_pass_never_lowers_and_its_fail_never_raises_the_belief(
    p_direct: float, others: int, key: str | None
) -> None:
    more = [sample(key) for _ in range(others if key else 0)]
    unknown = right(p_direct, sample(key), *more)
    assert right(p_direct, sample(key, True), *more) >= unknown
    assert right(p_direct, sample(key, False), *more) <= unknown


@given(guesses, st.integers(1, 5))
def test_a_rival_that_the_verifier_fails_takes_nothing_from_the_leader(
    p_direct: float, votes: int
) -> None:
    leading = [sample("1", True) for _ in range(votes)]
    assert right(p_direct, *leading, sample("2", False)) == right(p_direct, *leading)


@given(guesses, st.lists(samples_of, max_size=5))
def test_a_decisive_pass_settles_it(p_direct: float, others: list[Sample]) -> None:
    assert right(p_direct, *others, sample("7", True, sound=True)) >= 0.99


def test_an_answer_that_a_decisive_verifier_refused_is_hardly_believed() -> None:
    assert right(0.95, sample("1", False, sound=True)) == REFUTED


def test_a_score_between_is_the_probability_of_an_open_answer() -> None:
    assert right(0.9, sample(None, None, score=0.3)) == 0.3


def test_a_verifier_that_could_not_tell_changes_nothing() -> None:
    assert right(0.7, sample(None, None, score=0.5)) == right(0.7, sample(None))
    assert right(0.7, sample("1", None, score=0.5)) == right(0.7, sample("1"))


def test_the_belief_names_the_answer_it_is_about() -> None:
    samples = [sample("1"), sample("2"), sample("2")]
    found = believe(Difficulty(p_direct=0.6, source="features"), samples, None)
    assert found.leader is not None
    assert found.leader["key"] == "2"


def test_votes_without_number_neither_overflow_nor_leave_the_range() -> None:
    many = [sample("1", number=n) for n in range(2000)]
    assert right(0.95, *many) <= 1
    assert right(0.01, *many, *(sample("2", number=-n) for n in range(1, 1999))) >= 0


# --- calibration

TABLE = Calibration.fit(
    [True, False, False, False],
    [(Signs(1, 0, None), n < 3) for n in range(10)]
    + [(Signs(4, 0, None), n < 9) for n in range(10)]
    + [(Signs(2, 2, None), n < 5) for n in range(10)],
)


def test_a_table_wins_over_the_guess() -> None:
    found = believe(Difficulty(p_direct=0.95, source="features"), [sample("1")], TABLE)
    assert found.source == "calibrated"
    assert found.p_right == TABLE.p_right(Signs(1, 0, None))
    assert found.p_right < 0.6


def test_a_table_that_saw_nothing_like_it_leaves_the_guess() -> None:
    found = believe(Difficulty(p_direct=0.7, source="features"), [sample("1", True)], TABLE)
    assert found.source == "samples"


def test_a_tables_rate_is_between_what_it_saw_and_what_its_neighbours_saw() -> None:
    rates = [TABLE.p_right(Signs(votes, 0, None)) for votes in (1, 2, 4)]
    assert None not in rates
    few, unseen, many = rates
    assert 0.3 < few < unseen < many < 0.9  # type: ignore[operator]


def test_more_votes_than_the_table_counts_are_its_most() -> None:
    assert TABLE.p_right(Signs(40, 0, None)) == TABLE.p_right(Signs(4, 0, None))


def test_a_table_learns_the_rate_of_single_samples_with_a_little_doubt() -> None:
    assert Calibration.fit([True] * 8, []).p_direct == 0.9


def test_a_table_of_nothing_is_wrong_usage() -> None:
    with pytest.raises(WrongUsage, match="at least one sample"):
        Calibration.fit([], [])


signs_of = st.builds(Signs, st.integers(1, 9), st.integers(0, 9), verdicts)


@given(
    st.lists(st.booleans(), min_size=1),
    st.lists(st.tuples(signs_of, st.booleans())),
    signs_of,
)
def test_a_table_gives_probabilities_or_nothing(
    singles: list[bool], seen: list[tuple[Signs, bool]], asked: Signs
) -> None:
    table = Calibration.fit(singles, seen)
    assert 0 < table.p_direct < 1
    rate = table.p_right(asked)
    assert rate is None or 0 < rate < 1
    assert (rate is None) == all(signs.passed is not asked.passed for signs, _ in seen)


@given(st.lists(st.booleans(), min_size=1), st.lists(st.tuples(signs_of, st.booleans())))
def test_a_table_that_is_dumped_and_loaded_is_the_same(
    tmp_path_factory: pytest.TempPathFactory,
    singles: list[bool],
    seen: list[tuple[Signs, bool]],
) -> None:
    table = Calibration.fit(singles, seen)
    file = tmp_path_factory.getbasetemp() / "calibration.json"
    table.dump(file)
    assert Calibration.load(file) == table


BROKEN = [
    "",
    "[]",
    "{}",
    '{"p_direct": 0.5}',
    '{"p_direct": "high", "cells": []}',
    '{"p_direct": 7, "cells": []}',
    '{"p_direct": NaN, "cells": []}',
    '{"p_direct": 0.5, "cells": [[1, 0, true, 1]]}',
    '{"p_direct": 0.5, "cells": [[1, 0, "yes", 1, 1]]}',
    '{"p_direct": 0.5, "cells": [[1, 0, [], 1, 1]]}',
    '{"p_direct": 0.5, "cells": [[1, 0, true, 3, 1]]}',
    '{"p_direct": 0.5, "cells": [[1, 0, true, Infinity, 1]]}',
    '{"p_direct": 0.5, "cells": [[0, 0, true, 1, 1]]}',
    '{"p_direct": 0.5, "cells": 3}',
    "[" * 100_000,
    "\ud800",
]


@pytest.mark.parametrize("text", BROKEN)
def test_a_file_that_is_no_calibration_is_wrong_usage_that_names_it(
    text: str, tmp_path: Path
) -> None:
    file = tmp_path / "broken.json"
    file.write_bytes(text.encode(errors="surrogatepass"))
    with pytest.raises(WrongUsage, match=r"broken\.json"):
        Calibration.load(file)


def test_a_file_that_is_not_there_is_wrong_usage(tmp_path: Path) -> None:
    with pytest.raises(WrongUsage, match="gone"):
        Calibration.load(tmp_path / "gone.json")


def test_a_dumped_table_is_readable_json(tmp_path: Path) -> None:
    TABLE.dump(tmp_path / "table.json")
    data = json.loads((tmp_path / "table.json").read_text())
    assert [1, 0, None, 3, 10] in data["cells"]


def test_what_was_observed_is_each_beginnings_leader_and_its_truth() -> None:
    samples = [sample("1"), sample("2"), sample("2")]
    assert list(observed(samples, lambda s: s["key"] == "2")) == [
        (Signs(1, 0, None), False),
        (Signs(1, 1, None), False),
        (Signs(2, 1, None), True),
    ]


def test_open_answers_teach_a_table_nothing() -> None:
    assert not list(observed([sample(None), sample(None)], lambda s: True))
