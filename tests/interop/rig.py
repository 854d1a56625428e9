"""What every case stands on: ports, a folder with its processes, the switch under test, sounds."""

import contextlib
import itertools
import json
import math
import os
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
import urllib.error
import urllib.request
import wave
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
OFFHOOK = Path(os.environ.get("OFFHOOK", ROOT / "target/debug/offhook"))
SPEECH = ROOT / "tests/corpora/speech/jfk.wav"
PATIENCE_S = 60

# Cases run beside each other, so whatever is handed out here is nobody else's. Phones listen for
# TLS one port above their SIP port, so ports are given in pairs, below those that the system gives
# to whoever connects (one of those may be anybody's by the time it is bound).
HANDING_OUT = threading.Lock()
PORTS = itertools.cycle(range(10_000 + 2 * random.randrange(2_000), 20_000, 2))
# Media has ports of its own: each switch 200 of 20,000 to 29,999, each phone 20 above these.
SWITCH_MEDIA = itertools.cycle(range(20_000, 30_000, 200))
PHONE_MEDIA = itertools.cycle(range(30_000, 32_700, 20))


def free_port():
    """A port that is free, as is the one above it, for UDP and for TCP."""
    with HANDING_OUT:
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


def media_ports(ranges=PHONE_MEDIA, count=20):
    """The first and last of a phone's own media ports."""
    with HANDING_OUT:
        first = next(ranges)
    return first, first + count - 1


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
        """Starts a program; its `log` is what it says."""
        log = self.folder / f"{Path(command[0]).name}-{len(self.processes)}.log"
        with open(log, "wb") as file:
            process = subprocess.Popen(
                [str(part) for part in command], stdout=file, stderr=subprocess.STDOUT,
                cwd=self.folder, start_new_session=True,
                **{"stdin": subprocess.DEVNULL, **options})
        process.log = log
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
            if process.stdin:
                process.stdin.close()
        if not keep:
            shutil.rmtree(self.folder, ignore_errors=True)

    def logs(self, pattern="*.log"):
        return "\n".join(
            f"--- {log.name}\n{log.read_text(errors='replace')[-3000:]}"
            for log in sorted(self.folder.glob(pattern)))


AGENT = """
[[agent]]
name = "lead-qualification"
flow = "builtin:lead-qualification"
# Short, so that the caller's turn comes soon: it is followed by the question for the name.
greeting = "Hello."
[[route]]
to = "*"
agent = "lead-qualification"
"""


class Switch:
    """The switch under test."""

    def __init__(self, case, listen="127.0.0.1", more="", media="", tls="", routes="", env=None,
                 agent=AGENT):
        """`routes` go before the one that leads everything to the agent; `more` comes last. One
        without an agent needs no models, and so is ready sooner."""
        self.sip = free_port()
        self.tls = free_port()
        tls_listen = f', "tls://{listen}:{self.tls}"' if tls else ""
        self.api = free_port()
        first, last = media_ports(SWITCH_MEDIA, 200)
        (case.folder / "offhook.toml").write_text(f"""
[sip]
listen = ["udp://{listen}:{self.sip}", "tcp://{listen}:{self.sip}"{tls_listen}]
{tls}
[http]
listen = "127.0.0.1:{self.api}"
[store]
url = "sqlite://offhook.db"
[media]
ports = "{first}-{last}"
recordings = "recordings"
{media}
{routes}
{agent}
{more}
""")
        self.process = case.start(
            [OFFHOOK, "run", "--config", case.folder / "offhook.toml"],
            env={**os.environ, **(env or {})})
        wait_for("the switch was ready", self.ready, 120)

    def ready(self):
        assert self.process.poll() is None, "the switch has ended"
        try:
            return self.get("/readyz") is not None
        except OSError:
            return False

    def log(self):
        return self.process.log.read_text(errors="replace")

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

    def calls(self):
        """The calls, the last one first."""
        return self.get("/v1/calls")["calls"]

    def call(self, id):
        return self.get(f"/v1/calls/{id}")

    def calls_out(self, body):
        """Has the API place a call to the agent's; gives its id."""
        body = {"agent": "lead-qualification", **body}
        status, created = self.send("POST", "/v1/calls", body)
        assert status == 202, (status, created)
        return created["id"]

    def answered(self, id=None):
        """Waits until a call, or else the last one, was answered; gives its id."""
        def talks():
            calls = [self.call(id)] if id else self.calls()[:1]
            return calls and calls[0]["state"] == "in-progress" and calls[0]["id"]
        return wait_for("the call was answered", talks, 20)

    def hears(self, word, id=None):
        """Waits until the agent of a call, or else of the last one, has understood a word."""
        id = id or self.answered()
        wait_for(f"the agent heard {word!r}", lambda: word in caller_words(self.call(id)), 30)

    def ended_call(self, id=None):
        def last():
            calls = [self.call(id)] if id else self.calls()
            return calls and calls[0]["ended_at"] and self.call(calls[0]["id"])
        return wait_for("the call ended", last)

    def registered(self):
        """Waits until the first trunk is registered; gives what is said of it."""
        state = lambda: self.get("/v1/trunks")["trunks"][0]["registration"] or ""
        wait_for("the trunk registered", lambda: "registered" in state())
        return state()

    def recording(self, case, call):
        recording = case.folder / "recording.wav"
        recording.write_bytes(self.get(f"/v1/calls/{call['id']}/recording.wav", raw=True))
        return recording


PASSWORD = "s3cret-long-enough"


def users(*names, more=""):
    return "".join(f'[[user]]\nname = "{name}"\npassword = "{PASSWORD}"\n{more}\n' for name in names)


def peer(port, more="", host="127.0.0.1"):
    """A trunk to a phone or carrier of the case's."""
    return f"""
[[trunk]]
name = "peer"
kind = "peer"
host = "{host}"
port = {port}
caller_id = "+12025550100"
networks = []
{more}
"""


def caller_words(call):
    return " ".join(turn["text"] for turn in call["turns"] if turn["who"] == "caller").lower()


def agent_words(call):
    return [turn["text"] for turn in call["turns"] if turn["who"] == "agent"]


# What is said, as places in SPEECH: where it begins and how long it is, in seconds. Who talks to
# another one says something else, so that nobody's own words come back unnoticed.
COUNTRY = ("7.9", "3.1")  # "ask what you can do for your country"
FELLOW = ("0.2", "2.4")  # "and so my fellow Americans"
YOUR_COUNTRY = ("5.3", "2.6")  # "what your country can do for you"


def prompt(case, after_s=4, words=COUNTRY, name="prompt.wav", rate=8000, channels=1, pad_s=60):
    """A real voice after some seconds, in which an agent greets and asks, and before a silence that
    outlasts the case: a phone whose file is at its end hangs up."""
    wav = case.folder / name
    subprocess.run(["sox", SPEECH, "-r", str(rate), "-c", str(channels), "-b", "16", wav, "trim",
                    *words, "pad", str(after_s), str(pad_s)], check=True)
    return wav


def samples(path, *effects, rate=16000):
    """A file's sound, mono."""
    raw = subprocess.run(
        ["sox", path, "-r", str(rate), "-c", "1", "-b", "16", "-e", "signed", "-t", "raw", "-",
         *effects], check=True, capture_output=True).stdout
    return memoryview(raw).cast("h")


def loudness(path):
    """The greatest sample; 0 for what is not there."""
    if not Path(path).exists():
        return 0
    with wave.open(str(path)) as sound:
        frames = sound.readframes(sound.getnframes())
    return max(map(abs, memoryview(frames).cast("h")), default=0)


def envelope(sound):
    """Loudness of each 10 ms at 16 kHz, in decibels, silence cut off."""
    steps = range(0, len(sound) - 160, 160)
    energy = (sum(s * s for s in sound[at:at + 160]) / 160 for at in steps)
    return [max(10 * math.log10(e + 1), 20) for e in energy]


def likeness(said, heard):
    """The best correlation of what was said with a stretch of what was heard."""
    best = 0.0
    mean = sum(said) / len(said)
    said = [value - mean for value in said]
    power = math.sqrt(sum(value * value for value in said))
    for at in range(0, max(1, len(heard) - len(said))):
        part = heard[at:at + len(said)]
        mean = sum(part) / len(part)
        product = sum(a * (b - mean) for a, b in zip(said, part))
        energy = math.sqrt(sum((b - mean) ** 2 for b in part))
        best = max(best, product / (power * energy + 1))
    return best


def check_words(who, words, path, *effects, least=0.8):
    """Fails unless somebody has heard the words as they were said; gives how alike they were. Of what
    others say no more than 0.67 is alike."""
    said = envelope(samples(SPEECH, "trim", *words))
    share = likeness(said, envelope(samples(path, *effects)))
    assert share > least, f"{who} heard {share:.2f} of what was said ({path})"
    return share
