"""Keys that are pressed on a phone: as telephone-events (RFC 4733) and by INFO."""

from agents import of_agent
from parties import Office
from phones import Pjsua
from rig import Switch, users, wait_for

FLOW = """
name = "codes"
start = "first"
[nodes.first]
type = "ask"
say = "Your first code, please?"
slot = "first"
grammar = "number"
length = 4
next = "second"
on_fail = "bye"
[nodes.second]
type = "ask"
say = "Your second code, please?"
slot = "second"
grammar = "number"
length = 4
next = "bye"
on_fail = "bye"
[nodes.bye]
type = "end"
say = "Bye."
outcome = "codes"
"""


def keys_reach_an_agent(case):
    """Of pjsua's two codes one comes in the media and one by INFO; then the agent hangs up."""
    (case.folder / "codes.toml").write_text(FLOW)
    codes = """
[[agent]]
name = "codes"
flow = "codes.toml"
[[route]]
to = "300"
agent = "codes"
"""
    switch = Switch(case, listen="0.0.0.0", agent=codes, more=users("alice"))
    phone = Pjsua(case, at=f"127.0.0.1:{switch.sip}")
    phone.tell(f"dial sip:300@127.0.0.1:{switch.sip}")
    call = switch.answered()
    phone.tell("keys 4711")
    said = lambda: [turn["text"] for turn in switch.call(call)["turns"] if turn["who"] == "caller"]
    wait_for("the first code came", lambda: "[keys 4711]" in said(), 20)
    # No key of the first code: one that comes in both ways within a second is one press.
    phone.tell("info 0836")
    phone.until("CALL 0 DISCONNECTED")
    got = switch.ended_call(call)["variables"]
    assert (got["first"], got["second"]) == ("4711", "0836"), got
    assert said() == ["[keys 4711]", "[keys 0836]"], said()
    phone.quit()
    return "telephone-events 4711, INFO 0836; the agent hung up"


def keys_pass_a_bridge(case):
    """From pjsua to pjsua: what came by INFO goes on as telephone-events."""
    office = Office(case)
    bob, alice = office.pjsua("bob"), office.pjsua("alice")
    alice.tell(f"dial {office.uri(100)}")
    office.talks_to(office.switch.answered(), "bob")
    alice.tell("keys 12#")
    bob.until("KEY # event")
    alice.tell("info 34*")
    bob.until("KEY * event")
    alice.quit()
    bob.until("CALL 0 DISCONNECTED")
    pressed = [line.split()[1] for line in bob.log().splitlines() if line.startswith("KEY ")]
    assert pressed == list("12#34*"), pressed
    return "12# by telephone-events, 34* by INFO: all came once, as telephone-events"


CASES = [keys_reach_an_agent, keys_pass_a_bridge]
