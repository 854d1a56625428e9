"""Calls in G.722 and Opus with baresip, both ways: what was said is heard, all of its band."""

import json
import math
import subprocess
import time
import wave

from agents import of_agent
from phones import Baresip, heard_words
from rig import COUNTRY, OFFHOOK, SPEECH, Switch, check_words, prompt, samples


def speech(case, codec, after_s):
    # baresip plays a file only with as many channels as the codec has, and Opus always has two.
    channels = 2 if codec == "opus" else 1
    return prompt(case, after_s, rate=16000, channels=channels)


def band_above_4k_db(path, *effects):
    """How loud the band from 4.5 to 7 kHz is beside all of the sound, in decibels."""
    def power(sound):
        return 10 * math.log10(sum(s * s for s in sound) / len(sound) + 1e-9)
    return power(samples(path, *effects, "sinc", "4500-7000")) - power(samples(path, *effects))


def check_sound(who, path):
    """Speech as it was said, with all of its band."""
    alike = check_words(who, COUNTRY, path, least=0.9)
    lost = band_above_4k_db(SPEECH, "trim", *COUNTRY) - band_above_4k_db(path)
    assert abs(lost) < 6, f"{who}: the band above 4 kHz is off by {lost:.1f} dB ({path})"
    return alike


def dialled(case, codec):
    """The command line calls baresip; each hears the other's speech."""
    # In turn, since words at the time of the same words would be taken for an echo.
    phone = Baresip(case, "127.0.0.1:5060", user="bob", answers=True, codec=codec, rate=16000,
                    say=speech(case, codec, 6))
    heard = case.folder / "heard.wav"
    ours = prompt(case, 1, name="offhook.wav", rate=16000, pad_s=3)
    call = subprocess.run(
        [OFFHOOK, "call", f"sip:bob@127.0.0.1:{phone.port}", "--codec", f"{codec},PCMU", "--play",
         ours, "--record", heard, "--dtmf", "7", "--seconds", "12", "--json"],
        capture_output=True, text=True, timeout=60)
    assert call.returncode == 0, call.stdout + call.stderr
    result = json.loads(call.stdout)
    assert result["codec"] == codec and result["packets_lost"] == 0, result
    with wave.open(str(heard)) as sound:
        assert sound.getframerate() == 16000, sound.getparams()
    ours = check_sound("Offhook", heard)
    phone.quit()
    theirs = check_sound("baresip", phone.files()[0])
    return f"{codec} at 16 kHz: we heard {ours:.2f}, baresip {theirs:.2f}, above 4 kHz too"


def calls_in(case, codec):
    """baresip calls an agent, which hears its words; the recording has the whole band."""
    switch = Switch(case)
    phone = Baresip(case, f"127.0.0.1:{switch.sip}", codec=codec, rate=16000,
                    say=speech(case, codec, 4), dial=of_agent(switch.sip))
    switch.hears("country")
    time.sleep(1)  # the word is understood before it is over
    phone.quit()
    call = switch.ended_call()
    assert call["media"]["codec"] == codec, call["media"]
    words = heard_words(call)
    assert max(map(abs, samples(phone.files()[0]))) > 3000, "baresip heard nothing"
    recording = switch.recording(case, call)
    with wave.open(str(recording)) as sound:
        assert (sound.getnchannels(), sound.getframerate()) == (2, 16000), sound.getparams()
    caller = case.folder / "caller.wav"
    subprocess.run(["sox", recording, caller, "remix", "1"], check=True)
    check_sound("the recording", caller)
    return f"{codec}: {words}, recorded at 16 kHz"


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
