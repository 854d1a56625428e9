#!/usr/bin/env python3
"""Scores concealment by PESQ (ITU-T P.862.1; P.862.2 at 16 kHz) against G.711 Appendix I.

    benches/conceal.py [--json FILE] [--wideband] [FILE.wav ...]

Without files it takes the speech of tests/corpora and, where Debian's asterisk-core-sounds-*-wav
are installed, six pieces of about 10 s of each of their voices. The loss is seeded, in bursts of
2.5 packets on average: see media/examples/conceal. PESQ comes from PyPI, into target/conceal.
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
VOICES = ["en_US_f_Allison", "es_MX_f_Allison", "fr_CA_f_June", "it_IT_f_Menardi",
          "it_IT_m_Carlo", "ru_RU_f_IvrvoiceRU"]
PIECES = 6
PIECE_SECONDS = 10
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


def speech(rate_hz):
    """Yields names and samples of the speech to be sent."""
    corpus = ROOT / "tests" / "corpora" / "speech"
    yield "jfk", load(corpus / "jfk.wav", rate_hz)
    pause = [numpy.zeros(rate_hz * 4 // 10, numpy.int16)]
    short = ["hello_world.wav", "weather_question.wav"] * 3
    yield "short", numpy.concatenate(sum([[load(corpus / name, rate_hz)] + pause
                                          for name in short], []))
    for voice in VOICES if rate_hz == 8000 else []:
        files = sorted((PROMPTS / voice).rglob("*.wav"))
        random.Random(voice).shuffle(files)
        piece, made = [], 0
        for file in files:
            sound = load(file, rate_hz)
            if len(sound) < rate_hz or numpy.sqrt(numpy.mean(sound.astype(float) ** 2)) < LEAST_RMS:
                continue
            piece += [sound] + pause
            if sum(map(len, piece)) >= PIECE_SECONDS * rate_hz:
                yield f"{voice}-{made}", numpy.concatenate(piece)[:PIECE_SECONDS * rate_hz]
                piece, made = [], made + 1
            if made == PIECES:
                break


def load(file, rate_hz):
    rate, sound = scipy.io.wavfile.read(file)
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


def measure(files, rate_hz):
    out = WORK / f"{rate_hz}"
    out.mkdir(parents=True, exist_ok=True)
    for old in out.glob("*.wav"):
        old.unlink()
    subprocess.run(["cargo", "run", "--quiet", "--release", "--locked", "-p", "offhook-media",
                    "--example", "conceal", "--", out, *files], cwd=ROOT, check=True)
    jobs = []
    for degraded in sorted(out.glob("*.*.*.*.wav")):
        name, percent, seed, method, _ = degraded.name.rsplit(".", 4)
        jobs.append(((name, int(percent), seed, method), out / f"{name}.reference.wav", degraded))
    with multiprocessing.Pool() as pool:
        scores = pool.map(score, [(a, b, rate_hz) for _, a, b in jobs], chunksize=4)
    table = collections.defaultdict(lambda: collections.defaultdict(dict))
    for ((name, percent, seed, method), _, _), value in zip(jobs, scores):
        table[percent][method][name, seed] = value
    return table


def summary(methods):
    row = {}
    for method, scores in methods.items():
        values = list(scores.values())
        row[method] = {"mean": statistics.mean(values), "deviation": statistics.pstdev(values)}
    if "appendix-i" in methods:
        ours, theirs = methods["offhook"], methods["appendix-i"]
        gains = [ours[key] - theirs[key] for key in ours]
        row["gain"] = {"mean": statistics.mean(gains),
                       "error": statistics.stdev(gains) / math.sqrt(len(gains)),
                       "better": sum(gain > 0 for gain in gains) / len(gains)}
    row["runs"] = len(methods["offhook"])
    return row


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="*", metavar="FILE.wav")
    parser.add_argument("--json", metavar="FILE", help="write the figures there")
    parser.add_argument("--wideband", action="store_true", help="at 16 kHz, without Appendix I")
    options = parser.parse_args()
    rate_hz = 16000 if options.wideband else 8000
    files = options.files
    if not files:
        (WORK / "speech").mkdir(parents=True, exist_ok=True)
        for name, sound in speech(rate_hz):
            files.append(WORK / "speech" / f"{name}.wav")
            scipy.io.wavfile.write(files[-1], rate_hz, sound)
    rows = {percent: summary(methods) for percent, methods in measure(files, rate_hz).items()}
    print(f"{'loss':>5} {'runs':>5}   {'silence':>12} {'Appendix I':>12} {'Offhook':>12}   gain")
    for percent, row in sorted(rows.items()):
        cells = [f"{row[m]['mean']:.3f} ± {row[m]['deviation']:.2f}" if m in row else "–"
                 for m in ("silence", "appendix-i", "offhook")]
        gain = row.get("gain")
        gain = gain and (f"{gain['mean']:+.3f} ± {gain['error']:.3f}, "
                         f"better in {gain['better']:.0%}") or ""
        print(f"{percent:>4}% {row['runs']:>5}   {cells[0]:>12} {cells[1]:>12} {cells[2]:>12}   {gain}")
    if options.json:
        pathlib.Path(options.json).write_text(json.dumps({"rate_hz": rate_hz, "loss": rows}, indent=1))


if __name__ == "__main__":
    own_python()
    import numpy
    import pesq
    import scipy.io.wavfile
    import scipy.signal
    main()
