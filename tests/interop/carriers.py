"""Carriers: Kamailio as registrar, proxy and Twilio's double, SIPp as what calls us."""

import json
import subprocess

import scenarios
from parties import Office
from phones import Pjsua, heard_words, kamailio, sipp
from rig import OFFHOOK, ROOT, SPEECH, Switch, free_port, wait_for
from secure import OURS, certificates


def registered_trunk(proxy, more="", host="127.0.0.1"):
    return f"""
[[trunk]]
name = "kamailio"
kind = "register"
host = "{host}"
port = {proxy}
username = "trunk"
password = "tr00nk"
networks = ["127.0.0.0/8"]
{more}
"""


def tls_config(case):
    """Kamailio's certificate, and whose certificates it believes when it connects."""
    certificates(case)
    (case.folder / "tls.cfg").write_text(f"""
[server:default]
method = TLSv1.2+
private_key = {case.folder}/srv.key
certificate = {case.folder}/srv.pem
[client:default]
method = TLSv1.2+
verify_certificate = yes
ca_list = {case.folder}/ca.pem
""")
    return "-A", f'TLS_CFG="{case.folder}/tls.cfg"'


def calls_through_kamailio(switch, phone, host="127.0.0.1"):
    """The API calls a phone that has registered with Kamailio; gives the call's record."""
    switch.registered()
    call = switch.calls_out({"to": f"sip:alice@{host}", "trunk": "kamailio", "from": "trunk"})
    switch.hears("country", call)
    phone.quit()
    call = switch.ended_call()
    heard_words(call)
    assert phone.heard() > 3000, "pjsua heard nothing"
    return call


def a_trunk_registers_and_calls_through_kamailio(case):
    proxy = free_port()
    kamailio(case, "kamailio.cfg", [f"udp:127.0.0.1:{proxy}"], "-A", 'ALG="MD5"')
    phone = Pjsua(case, at=f"127.0.0.1:{proxy}", password="s3cret")
    calls_through_kamailio(Switch(case, more=registered_trunk(proxy)), phone)
    return "REGISTER 401, INVITE 407, Record-Route, both ways heard"


def the_doctor_examines_kamailio(case):
    """What it says of a carrier that is in order, with a call to a phone there."""
    proxy = free_port()
    kamailio(case, "kamailio.cfg", [f"udp:127.0.0.1:{proxy}"], "-A", 'ALG="MD5"')
    phone = Pjsua(case, at=f"127.0.0.1:{proxy}", password="s3cret")
    config = case.folder / "doctor.toml"
    config.write_text(registered_trunk(proxy))
    said = subprocess.run(
        [OFFHOOK, "doctor", "kamailio", "--config", config, "--call", "sip:alice@127.0.0.1",
         "--json"], capture_output=True, text=True, timeout=90)
    phone.quit()
    result = json.loads(said.stdout)
    found = {finding["of"]: finding for finding in result["findings"]}
    assert result["healthy"], said.stdout
    for wanted in ["registration", "challenge", "call", "session timer", "sound", "keys",
                   "keys by INFO", "tones", "hold", "resume", "quality", "their side"]:
        assert found[wanted]["health"] == "good", (wanted, said.stdout)
    assert "MD5" in found["challenge"]["found"], said.stdout
    timer, info = (found[which]["found"] for which in ("session timer", "keys by INFO"))
    return f"registration, call, keys, hold: good; {timer}; INFO: {info}"


def a_trunk_registers_and_calls_with_sha_256_over_tls(case):
    """Over TLS to Kamailio and over UDP from there, both with SHA-256, SRTP from end to end."""
    over_udp, over_tls = free_port(), free_port()
    kamailio(case, "kamailio.cfg", [f"udp:127.0.0.1:{over_udp}", f"tls:127.0.0.1:{over_tls}"],
             "-A", 'ALG="SHA-256"', *tls_config(case))
    phone = Pjsua(case, at=f"127.0.0.1:{over_udp}", password="s3cret", more=["--srtp"])
    switch = Switch(case, more=registered_trunk(
        over_tls, 'transport = "tls"\nca = "ca.pem"\nsrtp = "required"', host="localhost"))
    call = calls_through_kamailio(switch, phone, "localhost")
    assert call["media"]["srtp"] is not None, call
    return f"REGISTER 401, INVITE 407, certificate of localhost, {call['media']['srtp']}"


NUMBER = "+12025550100"


def over_twilio(case, shipped, transport, tls="", options=(), phone_options=()):
    """A call over a trunk as shipped, and one from it; the carrier is at the outbound proxy.

    Gives the records of both.
    """
    carrier, in_the_clear = free_port(), free_port()
    phone = Pjsua(case, "pstn", more=phone_options)
    environment = {
        "TWILIO_TRUNK_HOST": "offhook-test.pstn.twilio.com",
        "TWILIO_TRUNK_USER": "trunk-user",
        "TWILIO_TRUNK_PASSWORD": "trunk-password",
        "TWILIO_PHONE_NUMBER": NUMBER,
        "OFFHOOK__TRUNK__TWILIO__OUTBOUND_PROXY": f"127.0.0.1:{carrier}",
        # The authorities that this system believes in.
        "SSL_CERT_FILE": str(case.folder / "ca.pem"),
    }
    trunk = (ROOT / "config/trunks" / shipped).read_text()
    switch = Switch(case, listen="0.0.0.0", more=trunk, tls=tls, env=environment)
    port = switch.tls if tls else switch.sip
    defines = {"NUMBER": NUMBER, "PHONE": f"sip:127.0.0.1:{phone.port}",
               "SWITCH": f"127.0.0.1:{port};transport={transport}"}
    proxy = kamailio(
        case, "carrier.cfg", [f"udp:127.0.0.1:{in_the_clear}", f"{transport}:127.0.0.1:{carrier}"],
        *options, *(part for name, value in defines.items() for part in ("-A", f'{name}="{value}"')))
    call = switch.calls_out({"to": "+12025550123"})
    switch.hears("country", call)
    switch.send("DELETE", f"/v1/calls/{call}")
    phone.until("CALL 0 DISCONNECTED")
    out = switch.ended_call(call)
    log = proxy.log.read_text(errors="replace")
    for step in "challenged INVITE", "authenticated trunk-user":
        assert f"{step}" in log and f"over {transport}" in log, log
    phone.tell(f"dial sip:{NUMBER}@127.0.0.1:{in_the_clear}")
    phone.until("CALL 1 CONFIRMED")
    phone.tell("say")
    call = switch.answered()
    switch.hears("country", call)
    phone.quit()
    back = switch.ended_call(call)
    for record, direction in (out, "outbound"), (back, "inbound"):
        assert (record["trunk"], record["direction"]) == ("twilio", direction), record
        heard_words(record)
    assert phone.heard() > 3000, "the phone heard nothing"
    assert "trunk-password" not in switch.log(), "the log holds the secret"
    return out, back


def the_shipped_twilio_trunk_calls_and_is_called(case):
    out, back = over_twilio(case, "twilio.toml", "udp")
    assert out["media"]["srtp"] is None and back["media"]["srtp"] is None, (out, back)
    return "407, digest, in the clear, both ways heard; and called back"


def the_shipped_secure_twilio_trunk_calls_and_is_called(case):
    options = tls_config(case)
    out, back = over_twilio(case, "twilio-secure.toml", "tls", OURS, options, ["--srtp"])
    suites = out["media"]["srtp"], back["media"]["srtp"]
    assert all(suites), suites
    return f"TLS, 407, digest, {suites[0]}, both ways heard; called back over TLS, {suites[1]}"


def the_shipped_twilio_domain_registers_and_is_called(case):
    """A TwiML application's call to sip:USER@DOMAIN comes over TLS to what has registered."""
    options = tls_config(case)
    over_udp, over_tls = free_port(), free_port()
    kamailio(case, "kamailio.cfg", [f"udp:127.0.0.1:{over_udp}", f"tls:127.0.0.1:{over_tls}"],
             "-A", 'ALG="MD5"', *options)
    switch = Switch(
        case, listen="0.0.0.0", more=(ROOT / "config/trunks/twilio-domain.toml").read_text(),
        env={"TWILIO_SIP_DOMAIN": "offhook-test.sip.twilio.com", "TWILIO_SIP_USER": "trunk",
             "TWILIO_SIP_PASSWORD": "tr00nk",
             "OFFHOOK__TRUNK__TWILIO_DOMAIN__OUTBOUND_PROXY": f"127.0.0.1:{over_tls}",
             "SSL_CERT_FILE": str(case.folder / "ca.pem")})
    switch.registered()
    phone = Pjsua(case, at=f"127.0.0.1:{over_udp}", password="s3cret")
    phone.tell(f"dial sip:trunk@127.0.0.1:{over_udp}")
    switch.hears("country")
    phone.quit()
    call = switch.ended_call()
    assert call["trunk"] == "twilio-domain", call
    assert phone.heard() > 3000, "the phone heard nothing"
    return f"registered over TLS, called over that connection, heard {heard_words(call)}"


def sipp_calls_an_agent(case, calls=6):
    """Several callers, one a second, who hang up."""
    switch = Switch(case)
    voice = case.folder / "prompt.ulaw"
    subprocess.run(["sox", SPEECH, "-t", "ul", "-r", "8000", "-c", "1", voice], check=True)
    process = sipp(case, scenarios.caller(4), "-s", "lead-qualification", "-m", calls, "-r", "1",
                   "-p", free_port(), f"127.0.0.1:{switch.sip}")
    assert process.wait(60) == 0, "a call of SIPp's failed"
    wait_for("all calls ended", lambda: all(call["ended_at"] for call in switch.calls()), 10)
    records = switch.calls()
    assert len(records) == calls, records
    assert {call["state"] for call in records} == {"completed"}, records
    heard = min(call["media"]["packets"] for call in records)
    assert heard > 150, records
    assert all(switch.call(call["id"])["turns"] for call in records), "an agent said nothing"
    return f"{calls} calls, none failed; at least {heard} packets of each came"


def sipp_calls_and_gives_up(case):
    """CANCEL while a registered baresip rings: 487, and the phone stops."""
    # On this machine alone, where no caller is challenged: SIPp stops at a challenge with SHA-256.
    office = Office(case, listen="127.0.0.1")
    bob = office.baresip("bob", "--ring")
    dialled = sipp(case, scenarios.QUITTER, "-s", "100", "-m", "1", "-p", free_port(), office.at)
    bob.until("CALL 0 INCOMING")
    assert dialled.wait(30) == 0, "SIPp's scenario failed"
    bob.until("CALL 0 DISCONNECTED")
    call = office.switch.ended_call()
    assert call["state"] == "canceled" and call["answered_at"] is None, call
    return f"180, CANCEL, 487; baresip no longer rings; {call['reason']}"


CASES = [
    a_trunk_registers_and_calls_through_kamailio,
    the_doctor_examines_kamailio,
    a_trunk_registers_and_calls_with_sha_256_over_tls,
    the_shipped_twilio_trunk_calls_and_is_called,
    the_shipped_secure_twilio_trunk_calls_and_is_called,
    the_shipped_twilio_domain_registers_and_is_called,
    sipp_calls_an_agent,
    sipp_calls_and_gives_up,
]
