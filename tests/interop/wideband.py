"""Calls in G.722 and Opus with baresip, both ways: what was said is heard, all of its band."""

import json
import math
import subprocess
import wave

import interop

PAYLOAD = {"G722": "G722/8000/1", "opus": "opus/48000/2"}


def baresip(case, folder, codec, port, wav, account, *options):
    """A phone that knows one codec, and writes down what it hears."""
    home = case.folder / folder
    home.mkdir()
    (home / "config").write_text(f"""
sip_listen 127.0.0.1:{port}
audio_source aufile,{wav}
audio_player aubridge,xa
ausrc_srate 16000
auplay_srate 16000
rtp_ports 42000-42098
net_interface 127.0.0.1
module_path /usr/lib/baresip/modules
module {codec.lower()}.so
module aufile.so
module aubridge.so
module sndfile.so
module uuid.so
module_app account.so
module_app menu.so
snd_path {home}
opus_inbandfec yes
""")
    (home / "accounts").write_text(f"{account};regint=0;audio_codecs={PAYLOAD[codec]}\n")
    (home / "contacts").write_text("")
    phone = case.start(["baresip", "-f", home, *options])
    return phone, home


def speech(case, name, pad_s, after_s=30):
    """A real voice at 16 kHz, after some silence."""
    wav = case.folder / name
    # baresip plays a file only with as many channels as the codec has, and Opus always has two.
    channels = "2" if name == "opus.wav" else "1"
    subprocess.run(["sox", interop.SPEECH, "-r", "16000", "-c", channels, "-b", "16", wav,
                    "pad", str(pad_s), str(after_s)], check=True)
    return wav


def samples(path, *effects):
    """A file's sound at 16 kHz, mono."""
    raw = subprocess.run(
        ["sox", path, "-r", "16000", "-c", "1", "-b", "16", "-e", "signed", "-t", "raw", "-",
         *effects], check=True, capture_output=True).stdout
    return memoryview(raw).cast("h")


def envelope(sound):
    """Loudness of each 10 ms, in decibels, silence cut off."""
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


def band_above_4k_db(path):
    """How loud the band from 4.5 to 7 kHz is beside all of the sound, in decibels."""
    def power(sound):
        return 10 * math.log10(sum(s * s for s in sound) / len(sound) + 1e-9)
    return power(samples(path, "sinc", "4500-7000")) - power(samples(path))


def check_sound(who, path):
    """Speech as it was said, with all of its band."""
    said = envelope(samples(interop.SPEECH))[:900]
    alike = likeness(said, envelope(samples(path)))
    assert alike > 0.9, f"{who} heard {alike:.2f} of what was said ({path})"
    lost = band_above_4k_db(interop.SPEECH) - band_above_4k_db(path)
    assert abs(lost) < 6, f"{who}: the band above 4 kHz is off by {lost:.1f} dB ({path})"
    return alike


def dialled(case, codec):
    """The command line calls baresip; each hears the other's speech."""
    port = interop.free_port()
    # In turn, since words at the time of the same words would be taken for an echo.
    wav = speech(case, f"{codec}.wav", 13)
    phone, home = baresip(case, "baresip", codec, port, wav,
                          f"<sip:bob@127.0.0.1:{port}>;answermode=auto")
    interop.wait_for("baresip was ready", lambda: "baresip is ready" in case.logs())
    heard = case.folder / "heard.wav"
    ours = speech(case, "offhook.wav", 1, 3)
    call = subprocess.run(
        [interop.OFFHOOK, "call", f"sip:bob@127.0.0.1:{port}", "--codec", f"{codec},PCMU", "--play",
         ours, "--record", heard, "--dtmf", "7", "--seconds", "26",
         "--json"], capture_output=True, text=True, timeout=60)
    assert call.returncode == 0, call.stdout + call.stderr
    result = json.loads(call.stdout)
    assert result["codec"] == codec and result["packets_lost"] == 0, result
    with wave.open(str(heard)) as sound:
        assert sound.getframerate() == 16000, sound.getparams()
    ours = check_sound("Offhook", heard)
    interop.wait_for("baresip wrote its file", lambda: list(home.glob("dump-*-dec.wav")))
    theirs = check_sound("baresip", next(iter(home.glob("dump-*-dec.wav"))))
    return f"{codec} at 16 kHz: we heard {ours:.2f}, baresip {theirs:.2f}, above 4 kHz too"


def calls_in(case, codec):
    """baresip calls an agent, which hears its words; the recording has the whole band."""
    switch = interop.Switch(case)
    port = interop.free_port()
    wav = speech(case, f"{codec}.wav", 9, 60)
    phone, home = baresip(case, "baresip", codec, port, wav,
                          f"<sip:alice@127.0.0.1:{switch.sip}>", "-e",
                          f"/dial sip:lead-qualification@127.0.0.1:{switch.sip}", "-t", "26")
    phone.wait(60)
    call = switch.ended_call()
    assert call["media"]["codec"] == codec, call["media"]
    words = interop.caller_words(call)
    assert "country" in words, words
    heard = next(iter(home.glob("dump-*-dec.wav")))
    assert max(map(abs, samples(heard))) > 3000, "baresip heard nothing"
    recording = case.folder / "recording.wav"
    recording.write_bytes(switch.get(f"/v1/calls/{call['id']}/recording.wav", raw=True))
    with wave.open(str(recording)) as sound:
        assert (sound.getnchannels(), sound.getframerate()) == (2, 16000), sound.getparams()
    caller = case.folder / "caller.wav"
    subprocess.run(["sox", recording, caller, "remix", "1"], check=True)
    check_sound("the recording", caller)
    return f"{codec}: {words[:50]!r}, recorded at 16 kHz"


def baresip_is_called_in_g722(case):
    return dialled(case, "G722")


def baresip_is_called_in_opus(case):
    return dialled(case, "opus")


def baresip_calls_in_with_g722(case):
    return calls_in(case, "G722")


def baresip_calls_in_with_opus(case):
    return calls_in(case, "opus")


CASES = [
    baresip_is_called_in_g722,
    baresip_is_called_in_opus,
    baresip_calls_in_with_g722,
    baresip_calls_in_with_opus,
]
