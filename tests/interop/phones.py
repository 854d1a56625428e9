"""Real phones and proxies: baresip, PJSIP, SIPp, Kamailio."""

import json
import shutil
import socket
import subprocess
import sys

from rig import HERE, PASSWORD, caller_words, free_port, loudness, media_ports, prompt, wait_for

BARESIP_CODECS = {"PCMU": "PCMU/8000/1", "G722": "G722/8000/1", "opus": "opus/48000/2"}
BARESIP_MODULES = {"PCMU": "g711", "G722": "g722", "opus": "opus"}


class Baresip:
    """Debian's baresip, with one account and in a folder of its own, where `dump-*-dec.wav` is what
    it hears. It does not register: SHA-256, which it is offered beside MD5, ends its attempt."""

    def __init__(self, case, at, user="alice", more="", answers=False, dial=None, codec="PCMU",
                 say=None, rate=8000, config=""):
        self.user = user
        self.folder = case.folder / f"baresip-{user}"
        self.folder.mkdir()
        self.port, self.control = free_port(), free_port()
        first, last = media_ports()
        say = say or prompt(case)
        modules = "\n".join(f"module {name}.so" for name in [
            BARESIP_MODULES[codec], "aufile", "aubridge", "sndfile", "srtp", "uuid"])
        (self.folder / "config").write_text(f"""
sip_listen 127.0.0.1:{self.port}
{config}
audio_source aufile,{say}
audio_player aubridge,{user}
ausrc_srate {rate}
auplay_srate {rate}
rtp_ports {first}-{last}
net_interface 127.0.0.1
module_path /usr/lib/baresip/modules
{modules}
module_app account.so
module_app menu.so
module_app ctrl_tcp.so
ctrl_tcp_listen 127.0.0.1:{self.control}
snd_path {self.folder}
opus_inbandfec yes
statmode_default off
""")
        account = f"<sip:{user}@{at}>;regint=0;audio_codecs={BARESIP_CODECS[codec]}{more}"
        account += ";answermode=auto" if answers else ""
        (self.folder / "accounts").write_text(account + "\n")
        (self.folder / "contacts").write_text("")
        # Dialled at its start; `-t` is for when nobody ends it.
        self.process = case.start(
            ["baresip", "-f", self.folder, *(["-e", f"/dial {dial}"] if dial else []), "-t", "90"])
        self.until("baresip is ready")

    def log(self):
        return self.process.log.read_text(errors="replace")

    def until(self, text, seconds=20):
        """Waits until it has said something."""
        wait_for(f"{self.user}'s baresip said {text!r}", lambda: text in self.log(), seconds)

    def tell(self, command, params=""):
        """Gives it a command as a netstring and returns its answer."""
        text = json.dumps({"command": command, "params": params, "token": "t"})
        with socket.create_connection(("127.0.0.1", self.control), 5) as connection:
            connection.sendall(f"{len(text)}:{text},".encode())
            while True:
                answer = connection.recv(65536).decode(errors="replace")
                assert answer, "baresip has ended"
                if '"response":true' in answer:
                    return answer

    def quit(self):
        """Hangs up and ends."""
        self.process.terminate()
        self.process.wait(10)

    def files(self):
        return list(self.folder.glob("dump-*-dec.wav"))

    def heard(self):
        return max(map(loudness, self.files()), default=0)


class Phone:
    """A program of this folder that does what a line of its input says, and prints what happens.

    It registers `at` a switch or proxy, where that is given.
    """

    def __init__(self, case, user="alice", at=None, password=PASSWORD, say=None, transport="udp",
                 more=(), until=None):
        self.user = user
        self.port = free_port()
        self.heard_file = case.folder / f"heard-{user}.wav"
        first, _ = media_ports()
        register = ["--domain", at] if at else []
        self.process = case.start(
            [sys.executable, HERE / self.program, *register, "--user", user, "--password",
             password, "--port", self.port, "--rtp", first, "--play", say or prompt(case),
             "--record", self.heard_file, "--transport", transport, *more],
            stdin=subprocess.PIPE)
        self.until(until or ("REGISTERED" if at else "READY"))

    def log(self):
        return self.process.log.read_text(errors="replace")

    def until(self, text, seconds=20):
        """Waits until it has said something at the start of a line."""
        def said():
            assert self.process.poll() is None or text in self.log(), f"it ended without {text}"
            return f"\n{text}" in "\n" + self.log()
        wait_for(f"{self.user}'s phone said {text!r}", said, seconds)

    def tell(self, command):
        self.process.stdin.write(f"{command}\n".encode())
        self.process.stdin.flush()

    def quit(self):
        """Hangs up and ends; fails where a call has failed."""
        self.process.terminate()
        assert self.process.wait(15) == 0, f"a call of {self.user}'s failed"

    def heard(self):
        return loudness(self.heard_file)


class Pjsua(Phone):
    """PJSIP, which answers whoever calls."""
    program = "pjsua_phone.py"


class Desk(Phone):
    """Today's baresip; with `--ring` it answers when it is told."""
    program = "baresip_phone.py"


def sipp(case, scenario, *options):
    """SIPp with one of `scenarios`; ends with exit code 0 where all its calls went well."""
    (case.folder / "scenario.xml").write_text(scenario)
    first, _ = media_ports()
    return case.start(["sipp", "-sf", "scenario.xml", "-i", "127.0.0.1", "-mi", "127.0.0.1", "-mp",
                       str(first), "-nostdin", *options])


def kamailio(case, config, listen, *options):
    """Starts Kamailio with a configuration of this folder."""
    program = shutil.which("kamailio") or "/usr/sbin/kamailio"
    process = case.start(
        [program, "-DD", "-E", "-f", HERE / config, *options,
         *(part for address in listen for part in ("-l", address)),
         "-P", case.folder / "pid", "-Y", case.folder, "-m", "64", "-M", "8"])
    wait_for("Kamailio listened", lambda: all(map(is_open, listen)), 10)
    return process


def is_open(address):
    """Whether somebody listens at an address such as `tls:127.0.0.1:5061`."""
    transport, host, port = address.split(":")
    udp = transport == "udp"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM if udp else socket.SOCK_STREAM) as probe:
        if not udp:
            return probe.connect_ex((host, int(port))) == 0
        try:
            probe.bind((host, int(port)))
        except OSError:
            return True
    return False


def heard_words(call):
    """What of the phrase the agent has understood, quoted."""
    words = caller_words(call)
    assert call["state"] == "completed", call
    assert "country" in words, words
    return repr(words[:60])
