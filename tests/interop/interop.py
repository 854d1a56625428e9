#!/usr/bin/env python3
"""Interoperation with real phones and proxies, each case on ports and in a folder of its own.

Prints one line a case and, at the end, `N passed, N failed`. Exit code 0 when all passed.
"""

import contextlib
import itertools
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import traceback
import urllib.error
import urllib.request
import wave
from pathlib import Path

import scenarios

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
OFFHOOK = Path(os.environ.get("OFFHOOK", ROOT / "target/debug/offhook"))
SPEECH = ROOT / "tests/corpora/speech/jfk.wav"
PATIENCE_S = 60


# Phones listen for TLS one port above their SIP port, so ports are given in pairs, below those that
# the system gives to whoever connects (one of those may be anybody's by the time it is bound) and
# beside the 20,000 to 29,999 of the switch's own media.
PORTS = itertools.cycle(range(10_000 + 2 * random.randrange(2_000), 20_000, 2))


def free_port():
    """A port that is free, as is the one above it, for UDP and for TCP."""
    for port in itertools.islice(PORTS, 5_000):
        with contextlib.ExitStack() as probes:
            try:
                for kind in socket.SOCK_DGRAM, socket.SOCK_STREAM:
                    for number in port, port + 1:
                        probe = probes.enter_context(socket.socket(socket.AF_INET, kind))
                        probe.bind(("127.0.0.1", number))
            except OSError:
                continue
            return port
    raise AssertionError("no pair of ports is free between 10,000 and 20,000")


def wait_for(what, check, seconds=PATIENCE_S):
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        found = check()
        if found:
            return found
        time.sleep(0.1)
    raise AssertionError(f"{what} did not happen within {seconds} s")


class Case:
    """A folder and the processes of one case; all end with it."""

    def __init__(self, name):
        self.name = name
        self.folder = Path(tempfile.mkdtemp(prefix=f"offhook-{name}-"))
        self.processes = []

    def start(self, command, **options):
        log = open(self.folder / f"{Path(command[0]).name}-{len(self.processes)}.log", "wb")
        process = subprocess.Popen(
            [str(part) for part in command], stdin=subprocess.DEVNULL, stdout=log,
            stderr=subprocess.STDOUT, cwd=self.folder, start_new_session=True, **options)
        self.processes.append(process)
        return process

    def end(self, keep):
        for process in reversed(self.processes):
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGTERM)
        for process in self.processes:
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
        if not keep:
            shutil.rmtree(self.folder, ignore_errors=True)

    def logs(self):
        return "\n".join(
            f"--- {log.name}\n{log.read_text(errors='replace')[-3000:]}"
            for log in sorted(self.folder.glob("*.log")))


class Switch:
    """The switch under test."""

    def __init__(self, case, listen="127.0.0.1", more="", media="", tls=""):
        self.sip = free_port()
        self.tls = free_port()
        tls_listen = f', "tls://{listen}:{self.tls}"' if tls else ""
        self.api = free_port()
        (case.folder / "offhook.toml").write_text(f"""
[sip]
listen = ["udp://{listen}:{self.sip}", "tcp://{listen}:{self.sip}"{tls_listen}]
{tls}
[http]
listen = "127.0.0.1:{self.api}"
[store]
url = "sqlite://offhook.db"
[media]
recordings = "recordings"
{media}
[[agent]]
name = "lead-qualification"
flow = "builtin:lead-qualification"
[[route]]
to = "*"
agent = "lead-qualification"
{more}
""")
        self.process = case.start([OFFHOOK, "run", "--config", case.folder / "offhook.toml"])
        wait_for("the switch was ready", self.ready, 120)

    def ready(self):
        assert self.process.poll() is None, "the switch has ended"
        try:
            return self.get("/readyz") is not None
        except OSError:
            return False

    def get(self, path, raw=False):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.api}{path}", timeout=10) as answer:
            body = answer.read()
            return body if raw else json.loads(body)

    def send(self, method, path, body=None):
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.api}{path}", method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                text = answer.read()
                return answer.status, json.loads(text) if text else None
        except urllib.error.HTTPError as refusal:
            refused = refusal.read().decode(errors="replace")
            raise AssertionError(f"{method} {path}: {refusal.code} {refused}") from None

    def ended_call(self):
        def last():
            calls = self.get("/v1/calls")["calls"]
            return calls and calls[0]["ended_at"] and self.get(f"/v1/calls/{calls[0]['id']}")
        return wait_for("the call ended", last)


def prompt(case, pad_s=0, after_s=9):
    """A real voice at 8 kHz, after some seconds in which the greeting is spoken."""
    wav = case.folder / "prompt.wav"
    subprocess.run(["sox", SPEECH, "-r", "8000", "-c", "1", "-b", "16", wav, "pad", str(after_s),
                    str(pad_s)], check=True)
    return wav


def loudness(path):
    with wave.open(str(path)) as sound:
        frames = sound.readframes(sound.getnframes())
    samples = memoryview(frames).cast("h")
    return max((abs(sample) for sample in samples), default=0)


def caller_words(call):
    return " ".join(turn["text"] for turn in call["turns"] if turn["who"] == "caller").lower()


def baresip(case, proxy, account="", *options, wav=None):
    """Starts baresip with an account at `proxy`; what it hears lands in `dump-*-dec.wav`. Gives its
    process, its SIP port and the port that controls it."""
    wav = wav or prompt(case, pad_s=60)
    port, control = free_port(), free_port()
    (case.folder / "config").write_text(f"""
sip_listen 127.0.0.1:{port}
audio_source aufile,{wav}
audio_player aubridge,xa
ausrc_srate 8000
auplay_srate 8000
rtp_ports 41000-41098
net_interface 127.0.0.1
module_path /usr/lib/baresip/modules
module g711.so
module aufile.so
module aubridge.so
module sndfile.so
module srtp.so
module uuid.so
module_app account.so
module_app menu.so
module_app ctrl_tcp.so
ctrl_tcp_listen 127.0.0.1:{control}
snd_path {case.folder}
""")
    (case.folder / "accounts").write_text(
        f"<sip:alice@{proxy}>;regint=0;audio_codecs=PCMU/8000/1{account}\n")
    (case.folder / "contacts").write_text("")
    return case.start(["baresip", "-f", case.folder, *options]), port, control


def dial(switch, seconds):
    """Has baresip call the agent and end after so long."""
    return "-e", f"/dial sip:lead-qualification@127.0.0.1:{switch.sip}", "-t", str(seconds)


def tell_baresip(control, command):
    """Gives baresip a command as a netstring and returns its answer."""
    text = json.dumps({"command": command, "token": "t"})
    with socket.create_connection(("127.0.0.1", control), 5) as connection:
        connection.sendall(f"{len(text)}:{text},".encode())
        while True:
            answer = connection.recv(65536).decode(errors="replace")
            assert answer, "baresip has ended"
            if '"response":true' in answer:
                return answer


def baresip_heard(case):
    return max(map(loudness, case.folder.glob("dump-*-dec.wav")), default=0)


def baresip_hears_and_is_heard(case, switch, call):
    assert call["state"] == "completed", call
    assert "country" in caller_words(call), caller_words(call)
    assert baresip_heard(case) > 3000, "baresip heard nothing"
    recording = case.folder / "recording.wav"
    recording.write_bytes(switch.get(f"/v1/calls/{call['id']}/recording.wav", raw=True))
    assert loudness(recording) > 3000, "the recording is silent"
    return f"heard {caller_words(call)[:60]!r}"


def baresip_holds_and_resumes(case):
    """Longer than a silent line is borne: a hold is no silence."""
    switch = Switch(case, media="silence_hangup_s = 3")
    phone, _, control = baresip(case, f"127.0.0.1:{switch.sip}", "", *dial(switch, 34),
                                wav=prompt(case, pad_s=60, after_s=14))
    calls = lambda: switch.get("/v1/calls")["calls"]
    wait_for("the call was answered", lambda: calls() and calls()[0]["state"] == "in-progress")
    time.sleep(3)
    tell_baresip(control, "hold")
    time.sleep(7)
    assert calls()[0]["state"] == "in-progress", calls()
    tell_baresip(control, "resume")
    phone.wait(60)
    call = switch.ended_call()
    assert call["state"] == "completed", call
    assert "country" in caller_words(call), caller_words(call)
    agent = [turn["text"] for turn in call["turns"] if turn["who"] == "agent"]
    assert len(agent) > 1, call["turns"]
    assert not any("still there" in text for text in agent), agent
    assert baresip_heard(case) > 3000, "baresip heard nothing"
    return f"held for 7 s, then heard {caller_words(call)[:60]!r}"


def baresip_calls_in(case, account="", media=""):
    switch = Switch(case, media=media)
    proxy = f"127.0.0.1:{switch.sip}"
    phone, *_ = baresip(case, proxy, account, *dial(switch, 26))
    phone.wait(60)
    call = switch.ended_call()
    assert call["media"]["srtp"] == ("AES_CM_128_HMAC_SHA1_80" if account else None), call
    return baresip_hears_and_is_heard(case, switch, call)


def baresip_calls_in_with_srtp_alone(case):
    return baresip_calls_in(case, account=";mediaenc=srtp-mand")


def baresip_calls_in_with_keys_where_srtp_is_required(case):
    return baresip_calls_in(case, account=";mediaenc=srtp", media='srtp = "required"')


def baresip_without_srtp_is_refused_where_it_is_required(case):
    switch = Switch(case, media='srtp = "required"')
    proxy = f"127.0.0.1:{switch.sip}"
    phone, *_ = baresip(case, proxy, "", *dial(switch, 4))
    phone.wait(60)
    assert switch.get("/v1/calls")["calls"] == [], "a call was made of it"
    assert "488" in case.logs(), case.logs()
    return "488, no record"


def the_api_calls_a_baresip(case, account, srtp, suite):
    # The trunk's port is baresip's, which must be there before the switch knows it.
    phone, port, _ = baresip(case, "127.0.0.1:5060", f";answermode=auto{account}", "-t", "60")
    switch = Switch(case, more=f"""
[[trunk]]
name = "phone"
kind = "peer"
host = "127.0.0.1"
port = {port}
caller_id = "+12025550100"
networks = []
srtp = "{srtp}"
""")
    body = {"to": "sip:alice@127.0.0.1", "trunk": "phone", "agent": "lead-qualification"}
    status, created = switch.send("POST", "/v1/calls", body)
    assert status == 202, (status, created)
    path = f"/v1/calls/{created['id']}"
    wait_for("baresip answered", lambda: switch.get(path)["state"] == "in-progress", 20)
    time.sleep(24)
    switch.send("DELETE", path)
    call = switch.ended_call()
    assert call["media"]["srtp"] == suite, call
    phone.terminate()
    phone.wait(10)
    return baresip_hears_and_is_heard(case, switch, call)


def the_api_calls_a_baresip_that_demands_srtp(case):
    return the_api_calls_a_baresip(
        case, ";mediaenc=srtp-mand", "required", "AEAD_AES_256_GCM")


def the_api_offers_keys_to_a_baresip_that_takes_them(case):
    return the_api_calls_a_baresip(
        case, ";mediaenc=srtp", "optional", "AEAD_AES_256_GCM")


def the_api_offers_keys_to_a_baresip_that_has_no_srtp(case):
    return the_api_calls_a_baresip(case, "", "optional", None)


USERS = '[[user]]\nname = "alice"\npassword = "s3cret-long-enough"\n'


def pjsua(case, switch, password, seconds, *options):
    heard = case.folder / "heard.wav"
    phone = case.start([
        sys.executable, HERE / "pjsua_call.py", "--domain", f"127.0.0.1:{switch.sip}", "--user",
        "alice", "--pw", password, "--port", str(free_port()), "--dial",
        f"sip:lead-qualification@127.0.0.1:{switch.sip}", "--play", prompt(case), "--rec", heard,
        "--secs", str(seconds), *options])
    return phone, heard


def a_phone_registers_and_calls_in_with_digest(case):
    switch = Switch(case, listen="0.0.0.0", more=USERS)
    phone, heard = pjsua(case, switch, "s3cret-long-enough", 22)
    assert phone.wait(90) == 0, "pjsua's call failed"
    call = switch.ended_call()
    assert "country" in caller_words(call), caller_words(call)
    assert loudness(heard) > 3000, "pjsua heard nothing"
    return "REGISTER and INVITE with digest, both ways heard"


def a_phone_registers_and_calls_in_over_tcp(case):
    switch = Switch(case, listen="0.0.0.0", more=USERS)
    phone, heard = pjsua(case, switch, "s3cret-long-enough", 22, "--tp", "tcp", "--log", "5")
    assert phone.wait(90) == 0, "pjsua's call failed"
    call = switch.ended_call()
    assert call["state"] == "completed", call
    assert "country" in caller_words(call), caller_words(call)
    assert loudness(heard) > 3000, "pjsua heard nothing"
    log = "".join(path.read_text(errors="replace") for path in case.folder.glob("python*.log"))
    assert f"to TCP 127.0.0.1:{switch.sip}" in log, "pjsua did not use TCP"
    assert f"to UDP 127.0.0.1:{switch.sip}" not in log, "pjsua left TCP"
    return "REGISTER, INVITE, ACK and BYE over one connection, both ways heard"


def a_phone_that_demands_srtp_calls_in(case):
    switch = Switch(case, listen="0.0.0.0", more=USERS + 'srtp = "required"\n')
    phone, heard = pjsua(case, switch, "s3cret-long-enough", 22, "--srtp")
    assert phone.wait(90) == 0, "pjsua's call failed"
    call = switch.ended_call()
    assert call["media"]["srtp"] is not None, call
    assert "country" in caller_words(call), caller_words(call)
    assert loudness(heard) > 3000, "pjsua heard nothing"
    return f"{call['media']['srtp']}, both ways heard"


def the_api_calls_a_phone_that_demands_srtp(case):
    port = free_port()
    switch = Switch(case, more=f"""
[[trunk]]
name = "phone"
kind = "peer"
host = "127.0.0.1"
port = {port}
caller_id = "+12025550100"
networks = []
srtp = "required"
""")
    heard = case.folder / "heard.wav"
    phone = case.start([
        sys.executable, HERE / "pjsua_call.py", "--noreg", "--srtp", "--port", str(port),
        "--play", prompt(case), "--rec", heard, "--secs", "26"])
    time.sleep(2)
    body = {"to": "+12025550123", "agent": "lead-qualification"}
    status, created = switch.send("POST", "/v1/calls", body)
    assert status == 202, (status, created)
    assert phone.wait(60) == 0, "pjsua took no call"
    call = switch.ended_call()
    assert call["media"]["srtp"] is not None, call
    assert "country" in caller_words(call), caller_words(call)
    assert loudness(heard) > 3000, "pjsua heard nothing"
    return f"{call['media']['srtp']}, both ways heard"


def a_wrong_password_is_refused(case):
    switch = Switch(case, listen="0.0.0.0", more=USERS)
    phone, _ = pjsua(case, switch, "wrong", 4)
    assert phone.wait(60) != 0, "a wrong password was let in"
    assert switch.get("/v1/calls")["calls"] == [], "a call was made of it"
    log = "".join(path.read_text(errors="replace") for path in case.folder.glob("offhook*.log"))
    assert "s3cret-long-enough" not in log, "the log holds the secret"
    assert "alice" in log, "the log says nothing of it"
    return "refused, no record, no secret in the log"


def call_out_to_sipp(case, *options, media=""):
    """A call through a carrier that challenges: the switch, SIPp, and the call's path."""
    carrier = free_port()
    more = f"""
[[trunk]]
name = "carrier"
kind = "peer"
host = "127.0.0.1"
port = {carrier}
username = "trunkuser"
password = "example-password-1"
caller_id = "+12025550100"
networks = []
# SIPp takes an OPTIONS for a call that has gone wrong, and ends.
ping_s = 0
"""
    switch = Switch(case, more=more, media=media)
    (case.folder / "carrier.xml").write_text(
        scenarios.carrier("trunkuser", "example-password-1"))
    port = free_port()
    sipp = case.start([
        "sipp", "-sf", "carrier.xml", "-i", "127.0.0.1", "-mi", "127.0.0.1", "-p", str(carrier),
        "-mp", str(port - port % 2), "-m", "1", "-nostdin", *options])
    time.sleep(1)
    body = {"to": "+12025550123", "agent": "lead-qualification"}
    status, created = switch.send("POST", "/v1/calls", body)
    assert status == 202, (status, created)
    path = f"/v1/calls/{created['id']}"
    wait_for("the carrier answered", lambda: switch.get(path)["state"] == "in-progress")
    return switch, sipp, path


def the_api_calls_out_over_a_carrier_that_challenges(case):
    switch, sipp, path = call_out_to_sipp(case, "-rtp_echo")
    time.sleep(4)
    switch.send("DELETE", path)
    assert sipp.wait(30) == 0, "SIPp's scenario failed"
    call = switch.ended_call()
    assert call["state"] == "completed" and call["trunk"] == "carrier", call
    # SIPp sends all sound back: the agent must not take itself for the callee.
    assert [turn["who"] for turn in call["turns"]] == ["agent"], call["turns"]
    return "401, digest, 180, 200, ACK, BYE; its own echo does not stop the agent"


def a_call_without_media_is_hung_up(case):
    switch, sipp, path = call_out_to_sipp(case, media="silence_hangup_s = 3")
    assert sipp.wait(30) == 0, "SIPp's scenario failed"
    call = switch.ended_call()
    assert call["state"] == "completed", call
    log = "".join(path.read_text(errors="replace") for path in case.folder.glob("offhook*.log"))
    assert "no media came" in log, log
    return "BYE after 3 s without a packet, with the reason in the log"


def kamailio(case, algorithm, listen, *options):
    """Starts Kamailio as registrar and proxy."""
    program = shutil.which("kamailio") or "/usr/sbin/kamailio"
    case.start([program, "-DD", "-E", "-f", HERE / "kamailio.cfg", "-A", f'ALG="{algorithm}"',
                *options, "-l", listen, "-P", case.folder / "pid", "-Y", case.folder, "-m", "64",
                "-M", "8"])


def a_trunk_registers_and_calls_through_kamailio(case, algorithm="MD5"):
    proxy = free_port()
    kamailio(case, algorithm, f"udp:127.0.0.1:{proxy}")
    time.sleep(1)
    more = f"""
[[trunk]]
name = "kamailio"
kind = "register"
host = "127.0.0.1"
port = {proxy}
username = "trunk"
password = "tr00nk"
networks = ["127.0.0.0/8"]
"""
    switch = Switch(case, more=more)
    wait_for("the trunk registered", lambda: any(
        "registered" in (trunk["registration"] or "") for trunk in switch.get("/v1/trunks")["trunks"]))
    if algorithm != "MD5":
        return f"401 with {algorithm}, registered"
    heard = case.folder / "heard.wav"
    phone = case.start([
        sys.executable, HERE / "pjsua_call.py", "--domain", f"127.0.0.1:{proxy}", "--user",
        "alice", "--pw", "s3cret", "--port", str(free_port()), "--rec", heard, "--secs", "14"])
    time.sleep(3)
    body = {"to": f"sip:alice@127.0.0.1", "trunk": "kamailio", "agent": "lead-qualification",
            "from": "trunk"}
    status, created = switch.send("POST", "/v1/calls", body)
    assert status == 202, (status, created)
    path = f"/v1/calls/{created['id']}"
    wait_for("pjsua answered", lambda: switch.get(path)["state"] == "in-progress", 20)
    phone.wait(40)
    call = switch.ended_call()
    assert call["state"] == "completed", call
    assert loudness(heard) > 3000, "pjsua heard nothing"
    return "REGISTER 401, INVITE 407, Record-Route, pjsua answered and heard the agent"


def a_trunk_registers_with_sha_256(case):
    return a_trunk_registers_and_calls_through_kamailio(case, "SHA-256")


def the_command_line_calls_and_hears(case):
    switch = Switch(case)
    heard = case.folder / "heard.wav"
    call = subprocess.run(
        [OFFHOOK, "call", f"sip:lead-qualification@127.0.0.1:{switch.sip}", "--play",
         prompt(case), "--record", heard, "--seconds", "24", "--json"],
        capture_output=True, text=True, timeout=90)
    assert call.returncode == 0, call.stdout + call.stderr
    result = json.loads(call.stdout)
    assert result["answered"] and result["packets_lost"] == 0, result
    assert result["srtp"] == "AEAD_AES_256_GCM", result
    assert loudness(heard) > 3000, "nothing was heard"
    assert "country" in caller_words(switch.ended_call())
    unknown = subprocess.run(
        [OFFHOOK, "call", f"sip:nobody@127.0.0.1:{free_port()}", "--ring", "2", "--json"],
        capture_output=True, text=True, timeout=60)
    assert unknown.returncode == 1 and not json.loads(unknown.stdout)["answered"], unknown
    return f"{result['packets_received']} packets heard, none lost"


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
    a_trunk_registers_and_calls_through_kamailio,
    a_trunk_registers_with_sha_256,
]


def main():
    # Here, because it builds on this module.
    import secure
    import wideband
    wanted = sys.argv[1:]
    passed = failed = 0
    for run in CASES + wideband.CASES + secure.CASES:
        if wanted and run.__name__ not in wanted:
            continue
        case = Case(run.__name__)
        begun = time.monotonic()
        try:
            said = run(case)
            passed += 1
            print(f"ok     {run.__name__} ({time.monotonic() - begun:.0f} s): {said}", flush=True)
            case.end(keep=False)
        except Exception:
            failed += 1
            case.end(keep=True)
            print(f"FAILED {run.__name__}\n{traceback.format_exc()}\n{case.logs()}", flush=True)
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
