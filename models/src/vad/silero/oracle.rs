//! The network held against ONNX Runtime, which runs the very file: needs the model folder.
//!
//! `OFFHOOK_SPEECH` names a folder of more speech to try: 16-bit WAV files.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use offhook_media::Frame;
use ort::value::{Tensor, TensorRef};

use super::*;
use crate::manifest::default_dir;
use crate::resample::convert_rate;
use crate::runtime::{Graph, Runtime};
use crate::vad::{Gate, VadEdge, VadSettings, VoiceDetector};

/// How far a probability may be from ONNX Runtime's: the sums are added up in another order, and
/// the recurrent state keeps what that makes of them. 12,672 windows came within 3e-5.
const ROUNDING: f32 = 2e-4;
/// Calls judged together: groups of four, and of what is left.
const CALLS: usize = 11;

fn file() -> Vec<u8> {
    read_file(&Manifest::embedded().file(&default_dir(), "silero-vad", ".onnx")).unwrap()
}

fn runtime() -> Graph {
    let runtime = Runtime::load(&default_dir()).unwrap();
    let path = Manifest::embedded().file(&default_dir(), "silero-vad", ".onnx");
    runtime.graph_from_file(&path).unwrap()
}

/// Judges a batch by ONNX Runtime.
fn run_elsewhere(graph: &Graph, batch: &mut SileroBatch) {
    let windows = &mut batch.windows[..batch.len];
    let line = |window: &Window| window.line[..CONTEXT + WINDOW].to_vec();
    let input: Vec<f32> = windows.iter().flat_map(line).collect();
    let outputs = windows.iter().flat_map(|window| window.output);
    let memories = windows.iter().flat_map(|window| window.memory);
    let state: Vec<f32> = outputs.chain(memories).collect();
    let mut session = graph.session();
    let shape = [windows.len(), CONTEXT + WINDOW];
    let given = ort::inputs![
        "input" => TensorRef::from_array_view((shape, input.as_slice())).unwrap(),
        "state" => TensorRef::from_array_view(([2, windows.len(), WIDTH], state.as_slice())).unwrap(),
        "sr" => Tensor::from_array(((), vec![16_000_i64])).unwrap(),
    ];
    let got = session.run(given).unwrap();
    let (_, probabilities) = got["output"].try_extract_tensor::<f32>().unwrap();
    let (_, state) = got["stateN"].try_extract_tensor::<f32>().unwrap();
    let (outputs, memories) = state.split_at(windows.len() * WIDTH);
    let states = outputs.as_chunks().0.iter().zip(memories.as_chunks().0);
    for ((window, probability), (output, memory)) in
        windows.iter_mut().zip(probabilities).zip(states)
    {
        window.probability = *probability;
        (window.output, window.memory) = (*output, *memory);
    }
    batch.judged = batch.len;
}

/// The speech of the corpus at 16 kHz, full scale ±1.
fn speech() -> Vec<Vec<f32>> {
    let corpora = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/corpora/speech");
    let names = ["jfk.wav", "hello_world.wav", "weather_question.wav"];
    let mut files: Vec<PathBuf> = names.iter().map(|name| corpora.join(name)).collect();
    let mut folders: Vec<PathBuf> = std::env::var_os("OFFHOOK_SPEECH")
        .map(PathBuf::from)
        .into_iter()
        .collect();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "wav") {
                files.push(path);
            }
        }
    }
    files.sort();
    files.iter().map(|file| read(file)).collect()
}

fn read(file: &Path) -> Vec<f32> {
    let mut wav = hound::WavReader::open(file).unwrap();
    let rate_hz = wav.spec().sample_rate;
    let samples = wav
        .samples::<i16>()
        .map(|s| f32::from(s.unwrap()) / 32_768.0);
    convert_rate(&samples.collect::<Vec<_>>(), rate_hz, 16_000)
}

/// All of it in one line, softer and louder, with silence between: each call is somewhere else in
/// it.
fn line() -> Vec<f32> {
    let mut line = Vec::new();
    for gain in [1.0, 0.1, 0.01, 2.0] {
        for part in speech() {
            line.extend(part.iter().map(|sample| (sample * gain).clamp(-1.0, 1.0)));
            line.extend(vec![0.0; 16_000]);
        }
    }
    line
}

#[test]
fn probabilities_are_those_of_onnx_runtime_with_whatever_instructions() {
    let (graph, line) = (runtime(), line());
    let (windows, _) = line.as_chunks::<WINDOW>();
    for instructions in Instructions::available() {
        let silero = Silero::from_bytes(&file(), instructions).unwrap();
        let mut ours = vec![SileroState::default(); CALLS];
        let mut theirs = ours.clone();
        let (mut batch, mut worst, mut judged) = (SileroBatch::default(), 0.0_f32, 0);
        for step in 0..windows.len() {
            // One call more or less each time, so that each size of a group has its turn.
            let calls = 1 + step % CALLS;
            let mut judge = |states: &mut [SileroState], run: &dyn Fn(&mut SileroBatch)| {
                batch.clear();
                for (call, state) in states.iter_mut().enumerate().take(calls) {
                    batch.add(
                        state,
                        &windows[(step + call * windows.len() / CALLS) % windows.len()],
                    );
                }
                run(&mut batch);
                let states = states.iter_mut().enumerate().take(calls);
                states
                    .map(|(call, state)| batch.take(call, state).unwrap())
                    .collect::<Vec<_>>()
            };
            let ours = judge(&mut ours, &|batch| silero.run(batch));
            let theirs = judge(&mut theirs, &|batch| run_elsewhere(&graph, batch));
            for (ours, theirs) in ours.iter().zip(&theirs) {
                worst = worst.max((ours - theirs).abs());
                judged += 1;
            }
        }
        println!("{instructions:?}: {judged} windows within {worst}");
        assert!(worst < ROUNDING, "{instructions:?}: off by {worst}");
    }
}

#[test]
fn edges_are_those_that_onnx_runtime_gives() {
    let (graph, line) = (runtime(), line());
    let silero = Silero::load(&default_dir()).unwrap();
    for rate_hz in [8_000, 16_000] {
        let samples = convert_rate(&line, 16_000, rate_hz);
        let samples: Vec<i16> = samples.iter().map(|s| (s * 32_767.0) as i16).collect();
        let ours = edges(rate_hz, &samples, |batch| silero.run(batch));
        let theirs = edges(rate_hz, &samples, |batch| {
            silero.begin(batch);
            run_elsewhere(&graph, batch);
        });
        println!("{} edges at {rate_hz} Hz", ours.len());
        assert!(ours.len() > 12, "{ours:?}");
        assert_eq!(ours, theirs);
    }
}

/// When speech begins and ends, in time from the beginning.
fn edges(rate_hz: u32, samples: &[i16], run: impl Fn(&mut SileroBatch)) -> Vec<(bool, Duration)> {
    #[allow(clippy::disallowed_methods, reason = "a beginning of time")]
    let epoch = Instant::now();
    let (mut gate, mut detector) = (Gate::new(), VoiceDetector::new(VadSettings::default()));
    let (mut batch, mut edges) = (SileroBatch::default(), Vec::new());
    let mut at = epoch;
    for part in samples.chunks_exact(Frame::MAX_SAMPLES) {
        at += Duration::from_secs(1) * part.len() as u32 / rate_hz;
        let frame = Frame::new(rate_hz, 0, at, false, part);
        detector.push(&frame, gate.is_speech(&frame));
        while detector.is_due() {
            batch.clear();
            detector.add_to(&mut batch);
            run(&mut batch);
            edges.extend(detector.judge(&batch, 0).map(|edge| match edge {
                VadEdge::SpeechStart { at } => (true, at - epoch),
                VadEdge::SpeechStop { at } => (false, at - epoch),
            }));
        }
    }
    edges
}

#[test]
fn a_file_of_other_shapes_or_another_transform_is_refused() {
    use crate::onnx::Model;

    let change = |change: &dyn Fn(&mut crate::onnx::proto::Tensor), name: &str| {
        let mut model = Model::parse(&file()).unwrap();
        let tensors = &mut model.graph.as_mut().unwrap().initializer;
        change(
            tensors
                .iter_mut()
                .find(|tensor| tensor.name == name)
                .unwrap(),
        );
        let refused = Silero::from_bytes(&model.to_bytes(), Instructions::best());
        refused.err().map(|error| error.to_string())
    };
    let same = change(&|_| {}, "model.decoder.rnn.weight_hh");
    assert_eq!(same, None);
    let shorter = change(
        &|tensor| tensor.raw_data.truncate(400),
        "model.decoder.rnn.weight_hh",
    );
    assert!(shorter.unwrap().contains("weight_hh"));
    let turned = change(
        &|tensor| tensor.dims.swap(0, 1),
        "model.encoder.0.reparam_conv.weight",
    );
    assert!(turned.unwrap().contains("encoder.0"));
    let halves = change(
        &|tensor| tensor.data_type = 10,
        "model.decoder.decoder.2.bias",
    );
    assert!(halves.unwrap().contains("decoder.2.bias"));
    let no_number = change(
        &|tensor| tensor.raw_data[..4].copy_from_slice(&f32::NAN.to_le_bytes()),
        "model.encoder.3.reparam_conv.bias",
    );
    assert!(no_number.unwrap().contains("no number"));
    let other = change(
        &|tensor| tensor.raw_data[40_003] ^= 0x80,
        "model.stft.forward_basis_buffer",
    );
    assert!(other.unwrap().contains("Fourier"));
    for file in [&b""[..], b"no model"] {
        assert!(Silero::from_bytes(file, Instructions::best()).is_err());
    }
}
