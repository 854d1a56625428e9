"""Calls over TLS, with certificates of an authority that each case makes for itself."""

import subprocess
import time

from agents import both_heard, of_agent, pjsua_calls_in
from phones import Desk, Pjsua, heard_words
from rig import Switch, peer, prompt, users


def openssl(folder, *arguments):
    subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)


def certificates(case):
    """An authority, `ca.pem`, and a certificate of this machine's address, `srv.pem`."""
    folder = case.folder
    (folder / "names").write_text("subjectAltName=IP:127.0.0.1,DNS:localhost\n")
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    openssl(folder, "req", "-x509", *key, "-keyout", "ca.key", "-out", "ca.pem", "-days", "2",
            "-subj", "/CN=Test authority")
    openssl(folder, "req", *key, "-keyout", "srv.key", "-out", "srv.csr", "-subj", "/CN=localhost")
    openssl(folder, "x509", "-req", "-in", "srv.csr", "-CA", "ca.pem", "-CAkey", "ca.key",
            "-CAcreateserial", "-days", "2", "-extfile", "names", "-out", "srv.pem")


OURS = '[sip.tls]\ncertificate = "srv.pem"\nkey = "srv.key"'
DEMANDED = 'srtp = "required"'


def a_phone_registers_and_calls_in_over_tls_with_srtp(case):
    certificates(case)
    switch = Switch(case, listen="0.0.0.0", more=users("alice", more=DEMANDED), tls=OURS)
    at = f"127.0.0.1:{switch.tls}"
    phone = Pjsua(case, at=at, transport="tls",
                  more=["--ca", case.folder / "ca.pem", "--srtp", "--log", "5"])
    call = pjsua_calls_in(switch, phone, of_agent(switch.tls))
    assert call["media"]["srtp"] is not None, call
    log = phone.log()
    assert f"to TLS {at}" in log, "pjsua did not use TLS"
    assert "to UDP 127" not in log and "to TCP 127" not in log, "pjsua left TLS"
    return f"REGISTER, INVITE, ACK and BYE over TLS, {call['media']['srtp']}, both ways heard"


def baresip_calls_in_over_tls_holds_and_resumes(case):
    """With SRTP; the hold is longer than a silence is borne."""
    certificates(case)
    switch = Switch(case, listen="0.0.0.0", more=users("alice", more=DEMANDED), tls=OURS,
                    media="silence_hangup_s = 3")
    at = f"127.0.0.1:{switch.tls}"
    phone = Desk(case, at=at, transport="tls", say=prompt(case, after_s=9),
                 more=["--srtp", "--ca", case.folder / "ca.pem"])
    phone.tell(f"dial {of_agent(switch.tls)}")
    call = switch.answered()
    time.sleep(2)
    phone.tell("hold")
    time.sleep(5)
    assert switch.call(call)["state"] == "in-progress", switch.call(call)
    phone.tell("resume")
    switch.hears("country", call)
    # baresip begins its file anew after the hold: the agent's answer.
    time.sleep(2)
    phone.quit()
    call = switch.ended_call()
    assert call["media"]["srtp"] is not None, call
    said = both_heard(case, switch, call, phone)
    return f"registered over TLS, {call['media']['srtp']}, held for 5 s, then {said}"


def the_api_calls_a_secure_peer(case):
    """As Twilio's secure trunking asks: TLS whose certificate is looked at, and SRTP."""
    certificates(case)
    phone = Pjsua(case, transport="tls", more=[
        "--srtp", "--cert", case.folder / "srv.pem", "--key", case.folder / "srv.key"])
    switch = Switch(case, more=peer(
        phone.port, f'transport = "tls"\nca = "ca.pem"\n{DEMANDED}'))
    switch.hears("country", switch.calls_out({"to": "+12025550123"}))
    phone.quit()
    gone = time.monotonic()
    call = switch.ended_call()
    # Over our connection, since nothing of ours listens to TLS.
    assert time.monotonic() - gone < 10, "pjsua's BYE did not come"
    heard_words(call)
    assert call["media"]["srtp"] is not None, call
    assert phone.heard() > 3000, "pjsua heard nothing"
    return f"INVITE, ACK and BYE over TLS, {call['media']['srtp']}, both ways heard"


CASES = [
    a_phone_registers_and_calls_in_over_tls_with_srtp,
    baresip_calls_in_over_tls_holds_and_resumes,
    the_api_calls_a_secure_peer,
]
