"""Phones that the switch joins to each other, and that transfer each other."""

import time

from agents import of_agent
from phones import Desk, Pjsua
from rig import (
    AGENT, COUNTRY, FELLOW, YOUR_COUNTRY, Switch, check_words, prompt, users, wait_for)

ROUTES = """
[[route]]
to = "100"
user = "bob"
[[route]]
to = "200"
user = "carol"
"""
# Each says one thing; how long all of it takes, in seconds.
WORDS = {"alice": COUNTRY, "bob": FELLOW, "carol": YOUR_COUNTRY}
TALK_S = 4.5


class Office:
    """A switch at which alice, bob and carol have phones; 100 is bob's, 200 carol's."""

    def __init__(self, case, agent="", listen="0.0.0.0"):
        self.case = case
        self.switch = Switch(case, listen=listen, routes=ROUTES, agent=agent,
                             more=users("alice", "bob", "carol"))
        self.at = f"127.0.0.1:{self.switch.sip}"

    def voice(self, user):
        return prompt(self.case, 1, WORDS[user], f"{user}.wav")

    def baresip(self, user, *more):
        return Desk(self.case, user, self.at, say=self.voice(user), more=more)

    def pjsua(self, user):
        return Pjsua(self.case, user, self.at, say=self.voice(user))

    def uri(self, number):
        return f"sip:{number}@{self.at}"

    def talks_to(self, call, user):
        """Waits until a call's other party is the user."""
        def is_user():
            bridge = self.switch.call(call)["bridge"]
            return bridge and bridge["user"] == user
        wait_for(f"{user} was in the call", is_user, 20)


def they_heard(one, other):
    """Each of two phones has heard the other's words."""
    parts = [f"{phone.user} {check_words(phone.user, WORDS[whom.user], phone.heard_file):.2f}"
             for phone, whom in ((one, other), (other, one))]
    return "heard: " + ", ".join(parts)


def two_phones_talk(case):
    """pjsua calls baresip: the words of each are heard by the other, and are recorded."""
    office = Office(case)
    bob, alice = office.baresip("bob"), office.pjsua("alice")
    alice.tell(f"dial {office.uri(100)}")
    call = office.switch.answered()
    time.sleep(TALK_S)
    alice.quit()
    bob.until("CALL 0 DISCONNECTED")
    call = office.switch.ended_call(call)
    assert call["state"] == "completed" and call["bridge"]["user"] == "bob", call
    bob.quit()
    recording = office.switch.recording(case, call)
    check_words("the recording's left", WORDS["alice"], recording, "remix", "1")
    check_words("the recording's right", WORDS["bob"], recording, "remix", "2")
    return f"{they_heard(alice, bob)}; recorded; pjsua's hang-up reached baresip"


def a_phone_takes_an_agents_call(case):
    """The agent's caller is given to a baresip, which rings, answers and hangs up."""
    office = Office(case, AGENT)
    bob, alice = office.baresip("bob", "--ring"), office.pjsua("alice")
    alice.tell(f"dial {of_agent(office.switch.sip)}")
    call = office.switch.answered()
    office.switch.send("POST", f"/v1/calls/{call}/transfer", {"to": "bob"})
    bob.until("CALL 0 INCOMING")
    assert office.switch.call(call)["bridge"] is None, "bob was in the call before he answered"
    bob.tell("answer")
    office.talks_to(call, "bob")
    alice.tell("say")
    time.sleep(TALK_S)
    bob.tell("hangup")
    alice.until("CALL 0 DISCONNECTED")
    call = office.switch.ended_call(call)
    assert call["outcome"] == "transferred" and call["agent"], call
    alice.quit()
    bob.quit()
    return f"rang, answered; {they_heard(alice, bob)}; transferred"


def baresip_transfers_blind(case):
    """alice has called bob, whose baresip sends her to carol's (REFER)."""
    office = Office(case)
    bob, carol, alice = office.baresip("bob"), office.baresip("carol"), office.pjsua("alice")
    alice.tell(f"dial {office.uri(100)}")
    call = office.switch.answered()
    office.talks_to(call, "bob")
    bob.tell(f"transfer {office.uri(200)}")
    office.talks_to(call, "carol")
    bob.until("CALL 0 DISCONNECTED")
    alice.tell("say")
    time.sleep(TALK_S)
    alice.quit()
    carol.until("CALL 0 DISCONNECTED")
    call = office.switch.ended_call(call)
    assert call["state"] == "completed", call
    carol.quit()
    return f"REFER, NOTIFY, bob was let go; {they_heard(alice, carol)}"


def transferred_attended(case, bobs_phone):
    """alice has called bob, who holds her, talks to carol, and joins the two (REFER, Replaces)."""
    office = Office(case)
    bob, carol, alice = bobs_phone(office), office.baresip("carol"), office.pjsua("alice")
    alice.tell(f"dial {office.uri(100)}")
    first = office.switch.answered()
    office.talks_to(first, "bob")
    bob.tell("hold")
    bob.tell(f"dial {office.uri(200)}")
    bob.until("CALL 1 CONFIRMED")
    carol.until("CALL 0 CONFIRMED")
    bob.tell("join")
    bob.until("TRANSFERRED")
    bob.until("CALL 1 DISCONNECTED")
    alice.tell("say")
    time.sleep(TALK_S)
    alice.quit()
    carol.until("CALL 0 DISCONNECTED")
    bob.quit()
    carol.quit()
    last = office.switch.ended_call(first)
    given, = [call for call in office.switch.calls() if call["id"] != first]
    assert (given["state"], given["outcome"]) == ("completed", "transferred"), given
    assert last["state"] == "completed" and last["outcome"] != "transferred", last
    return f"hold, REFER with Replaces, bob was let go; {they_heard(alice, carol)}"


def baresip_transfers_attended(case):
    return transferred_attended(case, lambda office: office.baresip("bob"))


def pjsua_transfers_attended(case):
    return transferred_attended(case, lambda office: office.pjsua("bob"))


CASES = [
    two_phones_talk,
    a_phone_takes_an_agents_call,
    baresip_transfers_blind,
    baresip_transfers_attended,
    pjsua_transfers_attended,
]
