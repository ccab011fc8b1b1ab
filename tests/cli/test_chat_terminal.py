"""`mull chat` as a person at a terminal sees it."""

from chat_places import Person, Pipe, says, sends_to
from fault_server import FaultServer, Reply
from leftovers import until

CTRL_C, CTRL_D, CTRL_U, UP = "\x03", "\x04", "\x15", "\x1b[A"
INTERRUPT = f"{CTRL_C}\r"
"""Ctrl-C at a prompt. CPython misses the signal where it comes just before it waits for keys, until
another key comes."""
ASKED = "n rejects: "


async def test_a_reply_shows_while_it_is_still_being_said(
    person: Person, server: FaultServer
) -> None:
    server.reply, server.fault = "The sum of both is four.", "hang_mid_stream"
    await person.opens()
    await person.asks("2+2?")
    await person.sees("The sum")
    assert server.active == 1


async def test_ctrl_c_stops_the_answer_and_the_next_question_takes_its_place(
    person: Person, server: FaultServer
) -> None:
    server.reply, server.fault = "Four.", ["hang_mid_stream", "none"]
    await person.opens()
    await person.asks("2+2?")
    await until(lambda: server.active == 1, 30)
    person.types(CTRL_C)
    await person.sees("/resume goes on with it, another question takes its place")
    await until(lambda: server.requests[0].aborted, 10)
    await person.asks("3*3?")
    await person.sees("it takes the place of the question that was cut off")
    await person.sees("stopped: answered")
    assert person.asked() == ["3*3?"]
    await person.sees("> ")
    assert await person.leaves() == 0
    assert "goes on" in person.shown


async def test_resume_goes_on_with_what_was_stopped(person: Person, server: FaultServer) -> None:
    server.reply, server.fault = "Four.", ["hang_mid_stream", "none"]
    await person.opens()
    await person.asks("2+2?")
    await until(lambda: server.active == 1, 30)
    person.types(CTRL_C)
    await person.sees("stopped: ")
    await person.asks("/resume")
    await person.sees("Four.")
    await person.sees("stopped: answered")
    assert person.asked() == ["2+2?"]


async def test_ctrl_c_at_the_prompt_ends_with_130(person: Person) -> None:
    await person.opens()
    await person.sees("> ")
    assert await person.leaves(INTERRUPT) == 130


async def test_an_earlier_line_comes_back_with_the_up_key_in_another_start(
    person: Person, server: FaultServer
) -> None:
    server.reply = "Four."
    await person.opens()
    await person.asks("2+2?")
    await person.sees("stopped: answered")
    await person.sees("> ")
    await person.leaves()
    await person.goes()
    await person.opens()
    await person.sees("> ")
    person.types(f"{UP}\r")
    await person.sees("stopped: answered")
    assert person.asked() == ["2+2?"]
    history = person.threads / "chat_history"
    assert history.stat().st_mode & 0o077 == 0


async def test_a_thread_that_exists_shows_its_last_exchanges(
    pipe: Pipe, person: Person, server: FaultServer
) -> None:
    server.reply = says("One.", "Two.", "Three.")
    await pipe.chat("first?\nsecond?\nthird?\n", "--thread", "t")
    await person.opens("--thread", "t")
    shown = await person.sees("/help lists the commands")
    assert "first?" not in shown
    for part in ("m · thread t · 3 turns", "> second?", "Two.", "> third?", "Three."):
        assert part in shown


async def test_what_a_model_says_cannot_steer_the_terminal(
    person: Person, server: FaultServer
) -> None:
    server.reply = "It is \x1b[8m hidden \u202e so."
    await person.opens("--thread", "t")
    await person.asks("2+2?")
    await person.sees(r"It is \x1b[8m hidden \u202e so.")
    await person.asks("/history")
    await person.sees(r"It is \x1b[8m hidden \u202e so.")
    await person.sees("> ")
    await person.leaves()
    assert "\x1b[8m" not in person.shown
    assert "\u202e" not in person.shown


async def test_a_backend_that_fails_is_told_and_the_chat_goes_on(
    person: Person, server: FaultServer
) -> None:
    server.reply, server.fault = "Four.", ["status_400", "none"]
    await person.opens()
    await person.asks("2+2?")
    await person.sees("mull: ")
    await person.asks("3*3?")
    await person.sees("Four.")
    await person.sees("> ")
    assert await person.leaves() == 0


# --- approvals


async def test_n_rejects_it_and_the_model_is_told_why(person: Person, server: FaultServer) -> None:
    server.reply = sends_to("bob")
    await person.opens("--tools", "send")
    await person.asks("Greet Bob.")
    await person.sees(ASKED)
    person.types("n\r")
    await person.sees("why not?")
    person.types("he sleeps\r")
    await person.sees("It is done.")
    assert person.sent is None
    assert "he sleeps" in person.asked()[-1]


async def test_e_edits_the_arguments_until_they_are_an_object(
    person: Person, server: FaultServer
) -> None:
    server.reply = sends_to("bob")
    await person.opens("--tools", "send")
    await person.asks("Greet Bob.")
    await person.sees(ASKED)
    person.types("e\r")
    await person.sees('arguments: {"to": "bob"}')
    person.types(f"{CTRL_U}ann\r")
    await person.sees("one JSON object")
    await person.sees("arguments: ann")
    person.types(f'{CTRL_U}{{"to": "ann"}}\r')
    await person.sees("It is done.")
    assert person.sent == "ann"


async def test_another_key_asks_again(person: Person, server: FaultServer) -> None:
    server.reply = sends_to("bob")
    await person.opens("--tools", "send")
    await person.asks("Greet Bob.")
    for keys in ("\r", "maybe\r", "n\r"):
        await person.sees(ASKED)
        person.types(keys)
    await person.sees("why not?")
    person.types("\r")
    await person.sees("It is done.")
    assert person.sent is None


async def test_what_was_typed_before_the_question_approves_nothing(
    person: Person, server: FaultServer
) -> None:
    server.reply, server.token_delay = sends_to("bob"), 0.05
    await person.opens("--tools", "send")
    await person.asks("Greet Bob.")
    await until(lambda: server.active == 1, 30)
    person.types("y\r")
    await person.sees(ASKED)
    assert await person.leaves(CTRL_D + CTRL_D) == 0
    assert person.sent is None


async def test_every_call_of_a_turn_is_asked_about(person: Person, server: FaultServer) -> None:
    both = Reply(tool_calls=[("send", {"to": "bob"}), ("send", {"to": "ann"})])
    server.reply = says(both, "It is done.")
    await person.opens("--tools", "send")
    await person.asks("Greet both.")
    await person.sees("bob")
    await person.sees(ASKED)
    person.types("n\r")
    await person.sees("why not?")
    person.types("he sleeps\r")
    await person.sees("ann")
    await person.sees(ASKED)
    person.types("y\r")
    await person.sees("sent to ann")
    await person.sees("It is done.")
    assert person.sent == "ann"


async def test_a_decision_that_is_put_off_is_asked_for_by_pending(
    person: Person, server: FaultServer
) -> None:
    server.reply = sends_to("bob")
    await person.opens("--tools", "send")
    await person.asks("Greet Bob.")
    await person.sees(ASKED)
    person.types(INTERRUPT)
    await person.sees("a run waits for a decision on send: ")
    await person.asks("/pending")
    await person.sees(ASKED)
    person.types("y\r")
    await person.sees("It is done.")
    assert person.sent == "bob"


async def test_a_start_asks_for_the_decision_that_the_last_one_left(
    person: Person, server: FaultServer
) -> None:
    server.reply = sends_to("bob")
    await person.opens("--tools", "send", "--thread", "mail")
    await person.asks("Greet Bob.")
    await person.sees(ASKED)
    await person.loses_it()
    await person.goes()
    await person.opens("--tools", "send", "--thread", "mail")
    await person.sees(ASKED)
    person.types("y\r")
    await person.sees("It is done.")
    assert person.sent == "bob"
    assert len(server.requests) == 2


async def test_a_start_offers_to_go_on_with_a_run_that_was_killed(
    person: Person, server: FaultServer
) -> None:
    server.reply, server.fault = (
        says(Reply(tool_calls=[("send", {"to": "bob"})]), "Done."),
        [
            "none",
            "hang_before_headers",
            "none",
        ],
    )
    await person.opens("--tools", "send", "--yes", "--thread", "mail")
    await person.asks("Greet Bob.")
    await until(lambda: len(server.requests) == 2, 30)
    await person.loses_it()
    await person.goes()
    (person.folder / "sent").unlink()
    await person.opens("--tools", "send", "--yes", "--thread", "mail")
    await person.sees("go on with it? (y/n) ")
    person.types("y\r")
    await person.sees("Done.")
    assert person.sent is None, "what was done is not done again"


async def test_a_person_is_the_verifier(person: Person, server: FaultServer) -> None:
    server.reply = "Answer: 4"
    await person.opens("--depth", "reflect", "--verify", "human")
    await person.asks("2+2?")
    await person.sees("judge  ")
    await person.sees("2+2?")
    await person.sees("a score from 0 to 1: ")
    person.types("y\r")
    await person.sees("stopped: answered")
