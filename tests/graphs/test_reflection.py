"""Reflection, as pure functions: when it ends, and what a critic is taken to have said."""

from collections.abc import Sequence
from time import monotonic

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mull.graphs.reflection import finished, read_verdict
from mull.graphs.samples import Sample, best_of, judged, rank, sample_of
from mull.graphs.verifiers import Verdict

QUESTION = "How many?"


def made(
    *answers: str, passed: Sequence[bool | None] = (), score: float | None = None
) -> list[Sample]:
    """Candidates in order, with a verdict each; those that have none are failed."""
    verdicts = [*passed, *[False] * (len(answers) - len(passed))]
    return [
        candidate(n, *pair, score) for n, pair in enumerate(zip(answers, verdicts, strict=True))
    ]


def candidate(number: int, answer: str, passed: bool | None, score: float | None = None) -> Sample:
    value = {True: 1.0, None: 0.5, False: 0.0}[passed] if score is None else score
    sample = sample_of(f"refine.{number}", QUESTION, answer)
    return judged(sample, Verdict(score=value, passed=passed), decisive=True)


# --- when it ends


def test_a_pass_ends_it() -> None:
    assert finished(made("Answer: 1", passed=[True]), rounds=9) == "it passed"


@pytest.mark.parametrize("passed", [False, None])
def test_what_did_not_pass_is_refined(passed: bool | None) -> None:
    assert not finished(made("Answer: 1", passed=[passed]), rounds=9)


def test_the_rounds_end_it() -> None:
    tried = made("Answer: 1", "Answer: 2", "Answer: 3")
    assert not finished(tried, rounds=4)
    assert finished(tried, rounds=3) == "3 rounds are over"


def test_one_round_is_a_draft_and_a_critique() -> None:
    assert finished(made("Answer: 1"), rounds=1)


@pytest.mark.parametrize("again", ["Answer: 1", "It is clear.\nAnswer: **1.0**", r"\boxed{1}"])
def test_the_same_answer_again_ends_it(again: str) -> None:
    assert "the same again" in finished(made("Answer: 1", again), rounds=9)


def test_the_same_open_answer_word_for_word_ends_it() -> None:
    assert "the same again" in finished(made("A haiku.", "A haiku.\n"), rounds=9)


def test_going_back_to_an_answer_that_was_given_before_ends_it() -> None:
    assert "the same again" in finished(made("Answer: 1", "Answer: 2", "Answer: 1"), rounds=9)


def test_another_answer_goes_on() -> None:
    assert not finished(made("Answer: 1", "Answer: 2"), rounds=9)


def test_the_same_answer_with_a_better_verdict_goes_on() -> None:
    first, second = made("Answer: 1", "Answer: 1", passed=[False, None])
    assert not finished([first, second], rounds=9)


ANSWERS = st.sampled_from(["Answer: 1", "Answer: 2", "Answer: 3", "a poem", "another"])
VERDICTS = st.tuples(
    ANSWERS, st.sampled_from([True, False, None]), st.floats(0, 1, allow_nan=False)
)


@given(st.lists(VERDICTS, min_size=1, max_size=8), st.integers(1, 8))
def test_it_always_ends_within_its_rounds(
    script: list[tuple[str, bool | None, float]], rounds: int
) -> None:
    candidates = [candidate(n, *verdict) for n, verdict in enumerate(script)]
    ended = [n for n in range(1, len(candidates) + 1) if finished(candidates[:n], rounds)]
    assert len(candidates) < rounds or ended[0] <= rounds


@given(st.lists(VERDICTS, min_size=1, max_size=8))
def test_no_refinement_makes_the_best_worse(script: list[tuple[str, bool | None, float]]) -> None:
    candidates = [candidate(n, *verdict) for n, verdict in enumerate(script)]
    bests = [best_of(candidates[:n]) for n in range(1, len(candidates) + 1)]
    ranks = [rank(best) for best in bests if best is not None]
    assert ranks == sorted(ranks)


# --- what a critic said


@pytest.mark.parametrize(
    "text",
    [
        "All steps hold.\nAnswer: pass",
        "Answer: PASS.",
        "**Answer: pass**",
        "Answer: **Pass** ✅",
        r"\boxed{pass}",
        "Final answer: passed",
        "Answer: correct",
        "Answer: it passes, although a step was wrong at first",
        "Answer: not wrong",
        "Verdict: pass",
        "**Verdict:** PASS",
        "## Final verdict\nVerdict - pass",
        "The answer follows.\nAnswer: 42\nVerdict: pass",
        "I see no mistake.\n\nPass",
        "**pass**",
    ],
)
def test_a_pass_is_read_in_whatever_form(text: str) -> None:
    assert read_verdict(text).passed is True


@pytest.mark.parametrize(
    "text",
    [
        "12 × 5 is 60.\nAnswer: fail",
        "Answer: FAIL",
        "Answer: `fail`",
        r"\boxed{\text{fail}}",
        "Answer: failed",
        "Answer: incorrect, the right answer is 60",
        "Answer: not correct",
        "Answer: does not pass",
        "Answer: doesn’t pass",
        "Answer: cannot pass",
        "Answer: not a pass",
        "Answer: this isn't fully right",
        "Answer: fail. The unit tests pass, but not for 0.",
        "Verdict: the answer is wrong",
        "My verdict: fail",
        "A pass at first sight.\nFail!",
        "Answer: pass\nNo, wait.\nAnswer: fail",
    ],
)
def test_a_fail_is_read_in_whatever_form(text: str) -> None:
    assert read_verdict(text).passed is False


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Answer:",
        "Answer: 42",
        "Answer: pass/fail",
        "Answer: pass or fail",
        "Answer: pass` if the proposed answer is right and complete, else `Answer: fail`",
        "Step 2 is right, step 3 is not.",
        "They passed the hall",
        "Answer: compass",
        "I cannot tell",
    ],
)
def test_what_says_neither_is_unknown(text: str) -> None:
    said = read_verdict(text)
    assert (said.passed, said.score) == (None, 0.5)


def test_the_objections_are_what_the_critic_wrote() -> None:
    assert read_verdict("12 × 5 is 60.\nAnswer: fail\n").reasons == "12 × 5 is 60.\nAnswer: fail"


def test_a_critics_pass_is_no_certainty() -> None:
    assert 0.5 < read_verdict("Answer: pass").score < 1
    assert 0 < read_verdict("Answer: fail").score < 0.5


@given(st.text(st.sampled_from("\n \t*:/|`'’nt") | st.characters(), max_size=300))
def test_any_text_is_read(text: str) -> None:
    assert read_verdict(text).verifier == "critic"


@pytest.mark.parametrize(
    "unit",
    [
        *("\n", " \n", "*", "a" * 9, "\\boxed{"),
        *("verdict", "verdict\n", "verdict ", "final verdict", "the "),
        *("not ", "n't ", "pass", "pass/fail\n"),
        *("Answer: ", "Answer: not ", "Answer: pass or\n"),
    ],
)
def test_a_hostile_text_is_read_in_linear_time(unit: str) -> None:
    text = unit * (200_000 // len(unit))
    started = monotonic()
    read_verdict(text)
    read_verdict(text + "verdict")
    assert monotonic() - started < 10  # Quadratic work would take minutes.
