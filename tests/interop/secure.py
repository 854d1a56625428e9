"""Calls over TLS, with certificates of an authority that each case makes for itself."""

import subprocess
import sys
import time

from interop import (
    HERE, USERS, Switch, caller_words, free_port, kamailio, loudness, prompt, wait_for)


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


def a_phone_registers_and_calls_in_over_tls_with_srtp(case):
    certificates(case)
    switch = Switch(case, listen="0.0.0.0", more=USERS + 'srtp = "required"\n', tls=OURS)
    heard = case.folder / "heard.wav"
    at = f"127.0.0.1:{switch.tls}"
    phone = case.start([
        sys.executable, HERE / "pjsua_call.py", "--domain", at, "--user", "alice", "--pw",
        "s3cret-long-enough", "--port", str(free_port()), "--dial",
        f"sip:lead-qualification@{at}", "--play", prompt(case), "--rec", heard, "--secs", "22",
        "--tp", "tls", "--ca", case.folder / "ca.pem", "--srtp", "--log", "5"])
    assert phone.wait(90) == 0, "pjsua's call failed"
    call = switch.ended_call()
    assert call["state"] == "completed" and call["media"]["srtp"] is not None, call
    assert "country" in caller_words(call), caller_words(call)
    assert loudness(heard) > 3000, "pjsua heard nothing"
    log = "".join(path.read_text(errors="replace") for path in case.folder.glob("python*.log"))
    assert f"to TLS {at}" in log, "pjsua did not use TLS"
    assert "to UDP 127" not in log and "to TCP 127" not in log, "pjsua left TLS"
    return f"REGISTER, INVITE, ACK and BYE over TLS, {call['media']['srtp']}, both ways heard"


def the_api_calls_a_secure_peer(case):
    """As Twilio's secure trunking asks: TLS whose certificate is looked at, and SRTP."""
    certificates(case)
    port = free_port()
    switch = Switch(case, more=f"""
[[trunk]]
name = "secure"
kind = "peer"
host = "127.0.0.1"
port = {port}
transport = "tls"
ca = "ca.pem"
caller_id = "+12025550100"
networks = []
srtp = "required"
""")
    heard = case.folder / "heard.wav"
    phone = case.start([
        sys.executable, HERE / "pjsua_call.py", "--noreg", "--srtp", "--port", str(port), "--tp",
        "tls", "--cert", case.folder / "srv.pem", "--key", case.folder / "srv.key", "--play",
        prompt(case), "--rec", heard, "--secs", "26"])
    time.sleep(2)
    body = {"to": "+12025550123", "agent": "lead-qualification"}
    status, created = switch.send("POST", "/v1/calls", body)
    assert status == 202, (status, created)
    assert phone.wait(60) == 0, "pjsua took no call"
    gone = time.monotonic()
    call = switch.ended_call()
    # Over our connection, since nothing of ours listens to TLS.
    assert time.monotonic() - gone < 10, "pjsua's BYE did not come"
    assert call["state"] == "completed" and call["media"]["srtp"] is not None, call
    assert "country" in caller_words(call), caller_words(call)
    assert loudness(heard) > 3000, "pjsua heard nothing"
    return f"INVITE, ACK and BYE over TLS, {call['media']['srtp']}, both ways heard"


def a_trunk_registers_with_kamailio_over_tls(case):
    certificates(case)
    (case.folder / "tls.cfg").write_text(f"""
[server:default]
method = TLSv1.2+
private_key = {case.folder}/srv.key
certificate = {case.folder}/srv.pem
""")
    proxy = free_port()
    kamailio(case, "SHA-256", f"tls:127.0.0.1:{proxy}", "-A",
             f'TLS_CFG="{case.folder}/tls.cfg"')
    time.sleep(2)
    trunk = f"""
[[trunk]]
name = "kamailio"
kind = "register"
host = "localhost"
port = {proxy}
transport = "tls"
ca = "ca.pem"
username = "trunk"
password = "tr00nk"
networks = ["127.0.0.0/8"]
"""
    switch = Switch(case, more=trunk)
    state = lambda: switch.get("/v1/trunks")["trunks"][0]["registration"] or ""
    wait_for("the trunk registered", lambda: "registered" in state())
    return f"{state()}, SHA-256, certificate of localhost"


CASES = [
    a_phone_registers_and_calls_in_over_tls_with_srtp,
    the_api_calls_a_secure_peer,
    a_trunk_registers_with_kamailio_over_tls,
]
