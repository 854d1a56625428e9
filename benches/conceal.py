#!/usr/bin/env python3
"""Scores concealment by PESQ (ITU-T P.862.1; P.862.2 at 16 kHz) against G.711 Appendix I.

    benches/conceal.py [--json FILE] [--wideband] [--set tuning|held-out] [--seeds N] [--pieces N]
                       [FILE.wav ...]

The speech comes from tests/corpora and from packages of Debian, as far as they are installed. The
voices of the set "tuning" are those by which the concealer's constants were chosen
(asterisk-core-sounds-*-wav), those of "held-out" were never looked at for that: readers of
pocketsphinx-testdata, and the prompts of asterisk-prompt-fr-armelle and asterisk-prompt-es-co
(GSM, decoded by sox). The loss is seeded, in bursts of 2.5 packets on average: see
media/examples/conceal. The gain's error is that of the mean over pieces of speech, each with the
mean of its seeds, since runs of one piece are not independent. PESQ comes from PyPI, into target/conceal.
"""

import argparse
import collections
import json
import math
import multiprocessing
import os
import pathlib
import random
import statistics
import subprocess
import sys
import venv

ROOT = pathlib.Path(__file__).resolve().parent.parent
WORK = ROOT / "target" / "conceal"
PROMPTS = pathlib.Path("/usr/share/asterisk/sounds")
READERS = pathlib.Path("/usr/share/pocketsphinx/test/data")
CORPUS = ROOT / "tests" / "corpora" / "speech"
VOICES = {
    "tuning": {
        "jfk": [CORPUS / "jfk.wav"],
        "short": [CORPUS / "hello_world.wav", CORPUS / "weather_question.wav"] * 3,
        **{voice: [PROMPTS / voice] for voice in (
            "en_US_f_Allison", "es_MX_f_Allison", "fr_CA_f_June", "it_IT_m_Carlo",
            "ru_RU_f_IvrvoiceRU")},
    },
    "held-out": {
        "austen": [READERS / "librivox"],
        "cards": [READERS / "cards"],
        "numbers": [READERS / name for name in (
            "numbers.raw", "goforward.raw", "something.raw", "tidigits/dhd.2934z.raw")],
        "armelle": [PROMPTS / "fr"],
        "colombia": [PROMPTS / "es"],
    },
}
RATES_HZ = {".raw": 16000, ".gsm": 8000}
PIECE_SECONDS = 10
# Shorter pieces are not scored.
LEAST_SECONDS = 5
# Softer files than this are not speech.
LEAST_RMS = 300


def own_python():
    """Runs this script again where pesq and scipy are installed."""
    python = WORK / "venv" / "bin" / "python"
    if pathlib.Path(sys.prefix) == WORK / "venv":
        return
    if not python.exists():
        venv.create(WORK / "venv", with_pip=True)
        subprocess.run([python, "-m", "pip", "install", "-q", "pesq==0.0.4", "scipy"], check=True)
    os.execv(python, [str(python), __file__, *sys.argv[1:]])


def speech(voices, rate_hz, pieces):
    """Yields names and samples of the speech to be sent, in pieces of some seconds."""
    pause = [numpy.zeros(rate_hz * 4 // 10, numpy.int16)]
    for voice, places in voices.items():
        files = [file for place in places
                 for file in (sorted(place.rglob("*.*")) if place.is_dir() else [place])
                 if file.suffix in (".wav", ".raw", ".gsm") and file.exists()]
        random.Random(voice).shuffle(files)
        piece, made = [], 0
        for file in files + [None]:
            seconds = sum(map(len, piece)) / rate_hz
            if seconds >= PIECE_SECONDS or file is None and seconds >= LEAST_SECONDS:
                yield f"{voice}-{made}", numpy.concatenate(piece)[:PIECE_SECONDS * rate_hz]
                piece, made = [], made + 1
            if made == pieces or file is None:
                break
            if source_rate_hz(file) < rate_hz:
                continue
            sound = load(file, rate_hz)
            loud = numpy.sqrt(numpy.mean(sound.astype(float) ** 2)) >= LEAST_RMS
            if loud and len(sound) >= rate_hz:
                piece += [sound] + pause


def source_rate_hz(file):
    return scipy.io.wavfile.read(file)[0] if file.suffix == ".wav" else RATES_HZ[file.suffix]


def load(file, rate_hz):
    if file.suffix == ".wav":
        rate, sound = scipy.io.wavfile.read(file)
    elif file.suffix == ".raw":
        rate, sound = RATES_HZ[".raw"], numpy.fromfile(file, "<i2")
    else:
        command = ["sox", "-t", "gsm", file, "-t", "raw", "-e", "signed", "-b", "16", "-"]
        made = subprocess.run(command, check=True, capture_output=True).stdout
        rate, sound = RATES_HZ[".gsm"], numpy.frombuffer(made, "<i2")
    if rate != rate_hz:
        common = math.gcd(rate, rate_hz)
        sound = scipy.signal.resample_poly(sound.astype(float), rate_hz // common, rate // common)
    return numpy.clip(numpy.round(sound), -32768, 32767).astype(numpy.int16)


def score(job):
    reference, degraded, rate_hz = job
    reference, degraded = (scipy.io.wavfile.read(file)[1] for file in (reference, degraded))
    length = min(len(reference), len(degraded))
    mode = "nb" if rate_hz == 8000 else "wb"
    return pesq.pesq(rate_hz, reference[:length], degraded[:length], mode)


def measure(files, rate_hz, seeds):
    out = WORK / f"{rate_hz}"
    out.mkdir(parents=True, exist_ok=True)
    for old in out.glob("*.wav"):
        old.unlink()
    subprocess.run(["cargo", "run", "--quiet", "--release", "--locked", "-p", "offhook-media",
                    "--example", "conceal", "--", out, str(seeds), *files], cwd=ROOT, check=True)
    jobs = []
    for degraded in sorted(out.glob("*.*.*.*.wav")):
        name, percent, seed, method, _ = degraded.name.rsplit(".", 4)
        jobs.append(((name, int(percent), seed, method), out / f"{name}.reference.wav", degraded))
    with multiprocessing.Pool() as pool:
        scores = pool.map(score, [(a, b, rate_hz) for _, a, b in jobs], chunksize=4)
    table = collections.defaultdict(lambda: collections.defaultdict(dict))
    for ((name, percent, seed, method), _, _), value in zip(jobs, scores):
        table[percent][method][name, seed] = value
    return table, json.loads((out / "cost.json").read_text())


def error(means):
    return statistics.stdev(means) / math.sqrt(len(means)) if len(means) > 1 else math.inf


def summary(methods):
    row = {}
    for method, scores in methods.items():
        values = list(scores.values())
        row[method] = {"mean": statistics.mean(values), "deviation": statistics.pstdev(values)}
    if "appendix-i" in methods:
        ours, theirs = methods["offhook"], methods["appendix-i"]
        gains = collections.defaultdict(list)
        for piece, seed in ours:
            gains[piece].append(ours[piece, seed] - theirs[piece, seed])
        every = [gain for gains in gains.values() for gain in gains]
        row["gain"] = {"mean": statistics.mean(every),
                       "error": error([statistics.mean(gains) for gains in gains.values()]),
                       "better": sum(gain > 0 for gain in every) / len(every)}
    row["runs"] = len(methods["offhook"])
    return row


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="*", metavar="FILE.wav")
    parser.add_argument("--json", metavar="FILE", help="write the figures there")
    parser.add_argument("--set", choices=VOICES, default="held-out", help="which voices")
    parser.add_argument("--seeds", type=int, default=4, help="losses of each piece and share")
    parser.add_argument("--pieces", type=int, default=6, help="of ten seconds of a voice, at most")
    parser.add_argument("--wideband", action="store_true", help="at 16 kHz, without Appendix I")
    options = parser.parse_args()
    rate_hz = 16000 if options.wideband else 8000
    files = options.files
    if not files:
        folder = WORK / f"{options.set}-{rate_hz}"
        folder.mkdir(parents=True, exist_ok=True)
        for name, sound in speech(VOICES[options.set], rate_hz, options.pieces):
            files.append(folder / f"{name}.wav")
            scipy.io.wavfile.write(files[-1], rate_hz, sound)
    table, cost = measure(files, rate_hz, options.seeds)
    rows = {percent: summary(methods) for percent, methods in table.items()}
    print(f"{'loss':>5} {'runs':>5}   {'silence':>12} {'Appendix I':>12} {'Offhook':>12}   gain")
    for percent, row in sorted(rows.items()):
        cells = [f"{row[m]['mean']:.3f} ± {row[m]['deviation']:.2f}" if m in row else "–"
                 for m in ("silence", "appendix-i", "offhook")]
        gain = row.get("gain")
        gain = gain and (f"{gain['mean']:+.3f} ± {gain['error']:.3f}, "
                         f"better in {gain['better']:.0%}") or ""
        print(f"{percent:>4}% {row['runs']:>5}   {cells[0]:>12} {cells[1]:>12} {cells[2]:>12}   {gain}")
    print(f"made up: {cost['first_us']:.1f} µs for a gap's first 20 ms, {cost['later_us']:.1f} µs "
          f"for each later; {cost['came_us']:.1f} µs where a packet came")
    if options.json:
        figures = {"rate_hz": rate_hz, "set": options.set, "loss": rows, "cost": cost}
        pathlib.Path(options.json).write_text(json.dumps(figures, indent=1))


if __name__ == "__main__":
    own_python()
    import numpy
    import pesq
    import scipy.io.wavfile
    import scipy.signal
    main()
