"""Calls to an agent and from one, by phones and by the command line."""

import json
import subprocess
import time

import scenarios
from phones import Baresip, Pjsua, heard_words, sipp
from rig import (
    OFFHOOK, PASSWORD, Switch, agent_words, free_port, loudness, peer, prompt, users)


def of_agent(port):
    return f"sip:lead-qualification@127.0.0.1:{port}"


def both_heard(case, switch, call, phone):
    """The agent has understood the phone, which has heard the agent; the recording has sound."""
    words = heard_words(call)
    assert phone.heard() > 3000, "the phone heard nothing"
    assert loudness(switch.recording(case, call)) > 3000, "the recording is silent"
    return f"heard {words}"


def the_command_line_calls_and_hears(case):
    switch = Switch(case)
    heard = case.folder / "heard.wav"
    call = subprocess.run(
        [OFFHOOK, "call", of_agent(switch.sip), "--play", prompt(case, pad_s=0), "--record", heard,
         "--seconds", "12", "--json"],
        capture_output=True, text=True, timeout=90)
    assert call.returncode == 0, call.stdout + call.stderr
    result = json.loads(call.stdout)
    assert result["answered"] and result["packets_lost"] == 0, result
    assert result["srtp"] == "AEAD_AES_256_GCM", result
    assert loudness(heard) > 3000, "nothing was heard"
    heard_words(switch.ended_call())
    unknown = subprocess.run(
        [OFFHOOK, "call", f"sip:nobody@127.0.0.1:{free_port()}", "--ring", "2", "--json"],
        capture_output=True, text=True, timeout=60)
    assert unknown.returncode == 1 and not json.loads(unknown.stdout)["answered"], unknown
    return f"{result['packets_received']} packets heard, none lost"


def baresip_holds_and_resumes(case):
    """Longer than a silent line is borne: a hold is no silence."""
    switch = Switch(case, media="silence_hangup_s = 3")
    phone = Baresip(case, f"127.0.0.1:{switch.sip}", dial=of_agent(switch.sip),
                    say=prompt(case, after_s=9))
    call = switch.answered()
    time.sleep(2)
    phone.tell("hold")
    time.sleep(5)
    assert switch.call(call)["state"] == "in-progress", switch.call(call)
    phone.tell("resume")
    switch.hears("country")
    phone.quit()
    call = switch.ended_call()
    words = heard_words(call)
    agent = agent_words(call)
    assert agent and not any("still there" in text for text in agent), agent
    assert phone.heard() > 3000, "baresip heard nothing"
    return f"held for 5 s, then heard {words}"


def baresip_calls_in(case, account="", media=""):
    switch = Switch(case, media=media)
    phone = Baresip(case, f"127.0.0.1:{switch.sip}", more=account, dial=of_agent(switch.sip))
    switch.hears("country")
    phone.quit()
    call = switch.ended_call()
    assert call["media"]["srtp"] == ("AES_CM_128_HMAC_SHA1_80" if account else None), call
    return both_heard(case, switch, call, phone)


def baresip_calls_in_with_srtp_alone(case):
    return baresip_calls_in(case, account=";mediaenc=srtp-mand")


def baresip_calls_in_with_keys_where_srtp_is_required(case):
    return baresip_calls_in(case, account=";mediaenc=srtp", media='srtp = "required"')


def baresip_without_srtp_is_refused_where_it_is_required(case):
    switch = Switch(case, media='srtp = "required"')
    phone = Baresip(case, f"127.0.0.1:{switch.sip}", dial=of_agent(switch.sip))
    phone.until("488")
    assert switch.calls() == [], "a call was made of it"
    return "488, no record"


def the_api_calls_a_baresip(case, account, srtp, suite):
    # The trunk's port is baresip's, which must be there before the switch knows it.
    phone = Baresip(case, "127.0.0.1:5060", answers=True, more=account)
    switch = Switch(case, more=peer(phone.port, f'srtp = "{srtp}"'))
    call = switch.calls_out({"to": "sip:alice@127.0.0.1", "trunk": "peer"})
    switch.hears("country", call)
    switch.send("DELETE", f"/v1/calls/{call}")
    call = switch.ended_call()
    assert call["media"]["srtp"] == suite, call
    phone.quit()
    return both_heard(case, switch, call, phone)


def the_api_calls_a_baresip_that_demands_srtp(case):
    return the_api_calls_a_baresip(
        case, ";mediaenc=srtp-mand", "required", "AEAD_AES_256_GCM")


def the_api_offers_keys_to_a_baresip_that_takes_them(case):
    return the_api_calls_a_baresip(
        case, ";mediaenc=srtp", "optional", "AEAD_AES_256_GCM")


def the_api_offers_keys_to_a_baresip_that_has_no_srtp(case):
    return the_api_calls_a_baresip(case, "", "optional", None)


def pjsua_calls_in(switch, phone, uri=None):
    """A registered pjsua calls the agent, is understood, and hangs up; gives the call's record."""
    phone.tell(f"dial {uri or of_agent(switch.sip)}")
    switch.hears("country")
    phone.quit()
    call = switch.ended_call()
    heard_words(call)
    assert phone.heard() > 3000, "pjsua heard nothing"
    return call


def a_phone_registers_and_calls_in_with_digest(case):
    switch = Switch(case, listen="0.0.0.0", more=users("alice"))
    pjsua_calls_in(switch, Pjsua(case, at=f"127.0.0.1:{switch.sip}"))
    return "REGISTER and INVITE with digest, both ways heard"


def a_phone_registers_and_calls_in_over_tcp(case):
    switch = Switch(case, listen="0.0.0.0", more=users("alice"))
    phone = Pjsua(case, at=f"127.0.0.1:{switch.sip}", transport="tcp", more=("--log", "5"))
    pjsua_calls_in(switch, phone)
    log = phone.log()
    assert f"to TCP 127.0.0.1:{switch.sip}" in log, "pjsua did not use TCP"
    assert f"to UDP 127.0.0.1:{switch.sip}" not in log, "pjsua left TCP"
    return "REGISTER, INVITE, ACK and BYE over one connection, both ways heard"


def a_phone_that_demands_srtp_calls_in(case):
    switch = Switch(case, listen="0.0.0.0", more=users("alice", more='srtp = "required"'))
    call = pjsua_calls_in(
        switch, Pjsua(case, at=f"127.0.0.1:{switch.sip}", more=["--srtp"]))
    assert call["media"]["srtp"] is not None, call
    return f"{call['media']['srtp']}, both ways heard"


def the_api_calls_a_phone_that_demands_srtp(case):
    phone = Pjsua(case, more=["--srtp"])
    switch = Switch(case, more=peer(phone.port, 'srtp = "required"'))
    switch.hears("country", switch.calls_out({"to": "+12025550123"}))
    phone.quit()
    call = switch.ended_call()
    heard_words(call)
    assert call["media"]["srtp"] is not None, call
    assert phone.heard() > 3000, "pjsua heard nothing"
    return f"{call['media']['srtp']}, both ways heard"


def a_wrong_password_is_refused(case):
    switch = Switch(case, listen="0.0.0.0", more=users("alice"), agent="")
    phone = Pjsua(case, at=f"127.0.0.1:{switch.sip}", password="wrong", until="REFUSED")
    phone.tell(f"dial {of_agent(switch.sip)}")
    phone.until("CALL 0 DISCONNECTED")
    assert switch.calls() == [], "a call was made of it"
    assert PASSWORD not in switch.log(), "the log holds the secret"
    assert "alice" in switch.log(), "the log says nothing of it"
    return "refused, no record, no secret in the log"


def call_out_to_sipp(case, *options, media=""):
    """A call through a carrier that challenges: the switch, SIPp, and the call's path."""
    carrier = free_port()
    # SIPp takes an OPTIONS for a call that has gone wrong, and ends.
    switch = Switch(case, media=media, more=peer(
        carrier, 'username = "trunkuser"\npassword = "example-password-1"\nping_s = 0'))
    process = sipp(case, scenarios.carrier("trunkuser", "example-password-1"), "-p", carrier,
                   "-m", "1", *options)
    time.sleep(1)
    call = switch.calls_out({"to": "+12025550123"})
    switch.answered(call)
    return switch, process, call


def the_api_calls_out_over_a_carrier_that_challenges(case):
    switch, process, call = call_out_to_sipp(case, "-rtp_echo")
    time.sleep(4)
    switch.send("DELETE", f"/v1/calls/{call}")
    assert process.wait(30) == 0, "SIPp's scenario failed"
    call = switch.ended_call()
    assert call["state"] == "completed" and call["trunk"] == "peer", call
    # SIPp sends all sound back: the agent must not take itself for the callee.
    assert {turn["who"] for turn in call["turns"]} == {"agent"}, call["turns"]
    return "401, digest, 180, 200, ACK, BYE; its own echo does not stop the agent"


def a_call_without_media_is_hung_up(case):
    switch, process, _ = call_out_to_sipp(case, media="silence_hangup_s = 3")
    assert process.wait(30) == 0, "SIPp's scenario failed"
    call = switch.ended_call()
    assert call["state"] == "completed", call
    assert "no media came" in switch.log(), "no reason is in the log"
    return "BYE after 3 s without a packet, with the reason in the log"


CASES = [
    the_command_line_calls_and_hears,
    baresip_calls_in,
    baresip_holds_and_resumes,
    baresip_calls_in_with_srtp_alone,
    baresip_calls_in_with_keys_where_srtp_is_required,
    baresip_without_srtp_is_refused_where_it_is_required,
    the_api_calls_a_baresip_that_demands_srtp,
    the_api_offers_keys_to_a_baresip_that_takes_them,
    the_api_offers_keys_to_a_baresip_that_has_no_srtp,
    a_phone_that_demands_srtp_calls_in,
    the_api_calls_a_phone_that_demands_srtp,
    a_phone_registers_and_calls_in_with_digest,
    a_phone_registers_and_calls_in_over_tcp,
    a_wrong_password_is_refused,
    the_api_calls_out_over_a_carrier_that_challenges,
    a_call_without_media_is_hung_up,
]
