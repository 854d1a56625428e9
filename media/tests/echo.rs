//! Our own sound that comes back is silenced for whoever listens; a caller who speaks is heard.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

#[path = "echo/line.rs"]
mod line;

use line::{
    EchoPath, Share, at_level, call, call_over, let_through, longest_run, read, silenced, speech,
};

/// How loud the agent and a caller who speaks other words are, in dB of full scale.
const LEVELS_DB: [(f64, f64); 4] = [
    (-20.0, -20.0),
    (-20.0, -30.0),
    (-30.0, -20.0),
    (-20.0, -40.0),
];

/// Delays and reverberation times of rooms, in ms.
const ROOMS: [(usize, usize); 7] = [
    (40, 100),
    (150, 200),
    (300, 400),
    (20, 400),
    (60, 400),
    (150, 400),
    (400, 400),
];

/// All voices of the corpora, or those of `OFFHOOK_SPEECH`.
fn voices() -> Vec<Vec<i16>> {
    let Ok(folder) = std::env::var("OFFHOOK_SPEECH") else {
        let names = ["jfk.wav", "weather_question.wav", "hello_world.wav"];
        return names.map(speech).to_vec();
    };
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|file| file.unwrap().path())
        .filter(|path| path.extension().is_some_and(|end| end == "wav"))
        .collect();
    files.sort();
    files
        .iter()
        .map(|path| read(path.to_str().unwrap()))
        .collect()
}

fn pairs(voices: &[Vec<i16>]) -> Vec<(&[i16], &[i16])> {
    let places = 0..voices.len();
    let pairs = places.flat_map(|a| (0..voices.len()).map(move |b| (a, b)));
    pairs
        .filter(|(a, b)| a != b)
        .map(|(a, b)| (&voices[a][..], &voices[b][..]))
        .collect()
}

/// How often a caller is silenced and an echo let through, over all pairs of voices.
#[derive(Default)]
struct Figures {
    /// Of echo alone, after the first three frames.
    alone: Share,
    longest_run: usize,
    /// Of the caller, where it is louder than the echo by 12, 6 and 0 dB.
    silenced: [Share; 3],
}

impl Figures {
    /// The agent speaks at `agent_db`, the caller at `caller_db`, of full scale.
    fn of(pairs: &[(&[i16], &[i16])], path: &EchoPath, agent_db: f64, caller_db: f64) -> Self {
        let mut figures = Self::default();
        let mut alone: Option<*const i16> = None;
        for (agent, caller) in pairs {
            let first = alone.replace(agent.as_ptr()) != Some(agent.as_ptr());
            let (agent, caller) = (at_level(agent, agent_db), at_level(caller, caller_db));
            if first {
                let moments = call(&agent, &[], path);
                figures.alone = figures.alone.and(let_through(&moments, 3));
                figures.longest_run = figures.longest_run.max(longest_run(&moments, 3));
            }
            let moments = call(&agent, &caller, path);
            for (share, louder) in figures.silenced.iter_mut().zip([12.0, 6.0, 0.0]) {
                *share = share.and(silenced(&moments, louder));
            }
        }
        figures
    }

    fn line(&self, name: &str) -> String {
        let [far, near, same] = self.silenced.map(Share::percent);
        let (alone, run) = (self.alone.percent(), self.longest_run);
        format!("{name:26} | {alone:5.2} % {run:2} | {far:5.2} {near:5.2} {same:5.2} %")
    }
}

/// Prints the figures of many paths: `OFFHOOK_SPEECH=FOLDER cargo test --release -p offhook-media
/// --test echo -- --ignored --nocapture`.
#[test]
#[ignore = "a table"]
fn figures_of_many_paths() {
    let voices = voices();
    let pairs = pairs(&voices);
    println!("path | echo let through, longest run | caller silenced at +12, +6, 0 dB over it");
    for (agent_db, caller_db) in LEVELS_DB {
        let figures = Figures::of(&pairs, &EchoPath::none(), agent_db, caller_db);
        println!(
            "{}",
            figures.line(&format!("none, {agent_db} and {caller_db} dB"))
        );
    }
    for db in [-6.0, -12.0, -20.0, -30.0, -40.0] {
        for delay_ms in [20, 60, 150, 400] {
            let path = EchoPath::line(delay_ms, db);
            let figures = Figures::of(&pairs, &path, -20.0, -20.0);
            println!("{}", figures.line(&format!("line {delay_ms} ms {db} dB")));
        }
        for (delay_ms, ms) in ROOMS {
            let path = EchoPath::room(delay_ms, db, ms);
            let figures = Figures::of(&pairs, &path, -20.0, -20.0);
            println!(
                "{}",
                figures.line(&format!("room {delay_ms} ms {db} dB, {ms} ms"))
            );
        }
    }
}

/// What happens to those who interrupt: how many lose frames of their first 200 ms, and how many
/// lose three or more, which makes the agent speak on for as much longer.
#[derive(Debug, Default)]
struct Interruptions {
    of: u32,
    touched: u32,
    late: u32,
}

impl Interruptions {
    /// The agent speaks; after `lead` steps a caller begins in the middle of that.
    fn count(&mut self, agent: &[i16], caller: &[i16], lead: usize, path: &EchoPath) {
        let audible = |frame: &[i16]| {
            let energy: f64 = frame.iter().map(|s| f64::from(*s).powi(2)).sum();
            (energy / frame.len() as f64).sqrt() > 200.0
        };
        let Some(onset) = caller.chunks_exact(line::STEP).position(audible) else {
            return;
        };
        let words = caller.iter().skip(onset * line::STEP).take(3_200).copied();
        let interrupting: Vec<i16> = std::iter::repeat_n(0, lead * line::STEP)
            .chain(words)
            .collect();
        let moments = call(&agent[..interrupting.len()], &interrupting, path);
        let first = moments.iter().skip(lead).take(10);
        let lost = first.filter(|m| m.silenced && m.voice > m.echo).count();
        self.of += 1;
        self.touched += u32::from(lost > 0);
        self.late += u32::from(lost >= 3);
    }
}

/// Prints what becomes of interruptions: `OFFHOOK_SPEECH=FOLDER cargo test --release -p
/// offhook-media --test echo -- --ignored --nocapture interruptions`.
#[test]
#[ignore = "a table"]
fn figures_of_interruptions() {
    let voices = voices();
    println!("path | interruptions, of them with a frame lost, with three or more");
    let paths = [
        ("none", EchoPath::none()),
        ("line 60 ms -30 dB", EchoPath::line(60, -30.0)),
        ("line 150 ms -20 dB", EchoPath::line(150, -20.0)),
        ("room 40 ms -20 dB", EchoPath::room(40, -20.0, 100)),
        ("long room 20 ms -20 dB", EchoPath::room(20, -20.0, 400)),
        ("long room 150 ms -12 dB", EchoPath::room(150, -12.0, 400)),
        ("long room 400 ms -20 dB", EchoPath::room(400, -20.0, 400)),
        ("long room 60 ms -30 dB", EchoPath::room(60, -30.0, 400)),
    ];
    for (name, path) in &paths {
        let mut counted = Interruptions::default();
        for (n, caller) in voices.iter().enumerate() {
            let agent: Vec<i16> = voices
                .iter()
                .cycle()
                .skip(n + 1)
                .take(6)
                .flatten()
                .copied()
                .collect();
            let (agent, caller) = (at_level(&agent, -20.0), at_level(caller, -20.0));
            for lead in [50, 63, 77, 90] {
                if agent.len() > (lead + 20) * line::STEP {
                    counted.count(&agent, &caller, lead, path);
                }
            }
        }
        println!(
            "{name:24} | {} {} {}",
            counted.of, counted.touched, counted.late
        );
    }
}

#[test]
fn a_lines_echo_is_silenced_at_every_delay_and_level() {
    let agent = at_level(&speech("jfk.wav"), -20.0);
    for delay_ms in [0, 20, 45, 100, 250, 400] {
        for db in [0.0, -6.0, -12.0, -20.0, -30.0] {
            let moments = call(&agent, &[], &EchoPath::line(delay_ms, db));
            let through = let_through(&moments, 3);
            let case = format!("{delay_ms} ms, {db} dB: {through:?}");
            assert!(through.of > 150 && through.percent() < 4.0, "{case}");
            assert!(longest_run(&moments, 3) <= 2, "{case}");
            assert!(let_through(&moments, 0).hits - through.hits <= 2, "{case}");
        }
    }
}

#[test]
fn the_echo_of_a_room_is_silenced() {
    let agent = at_level(&speech("jfk.wav"), -20.0);
    for (delay_ms, reverberation_ms) in ROOMS {
        for db in [-6.0, -12.0, -20.0, -30.0] {
            let path = EchoPath::room(delay_ms, db, reverberation_ms);
            let moments = call(&agent, &[], &path);
            let through = let_through(&moments, 3);
            let case = format!("{delay_ms} ms, {reverberation_ms} ms, {db} dB: {through:?}");
            assert!(through.of > 150 && through.percent() < 8.0, "{case}");
            assert!(longest_run(&moments, 3) <= 4, "{case}");
        }
    }
}

#[test]
fn callers_who_speak_other_words_at_the_same_time_are_not_silenced() {
    let voices = voices();
    let pairs = pairs(&voices);
    for (agent_db, caller_db) in LEVELS_DB {
        let figures = Figures::of(&pairs, &EchoPath::none(), agent_db, caller_db);
        let [_, _, share] = figures.silenced;
        let case = format!("{agent_db} dB, {caller_db} dB: {share:?}");
        assert!(share.of > 200 && share.percent() <= 1.0, "{case}");
    }
}

#[test]
fn a_caller_is_heard_over_the_echo() {
    let (agent, caller) = (speech("jfk.wav"), speech("weather_question.wav"));
    let long: Vec<i16> = caller.iter().copied().cycle().take(agent.len()).collect();
    let (agent, caller) = (at_level(&agent, -20.0), at_level(&long, -20.0));
    let paths = [-6.0, -12.0, -20.0, -30.0].map(|db| {
        [
            EchoPath::line(30, db),
            EchoPath::line(200, db),
            EchoPath::room(60, db, 200),
            EchoPath::room(60, db, 400),
            EchoPath::room(300, db, 400),
        ]
    });
    for path in paths.as_flattened() {
        let moments = call(&agent, &caller, path);
        let (far, same) = (silenced(&moments, 12.0), silenced(&moments, 0.0));
        let case = format!("{} ms: {far:?} {same:?}", path.delay_ms);
        assert!(far.of > 100 && far.percent() <= 5.0, "{case}");
        assert!(same.percent() <= 8.0, "{case}");
    }
}

#[test]
fn nothing_is_silenced_while_nothing_is_said() {
    let caller = speech("jfk.wav");
    let moments = call(&[], &caller, &EchoPath::line(0, 0.0));
    assert!(moments.iter().all(|moment| !moment.silenced));
}

#[test]
fn a_path_that_changes_is_learned_anew_and_one_that_is_gone_is_forgotten() {
    let agent = at_level(&speech("jfk.wav"), -20.0);
    let caller = at_level(&speech("weather_question.wav"), -30.0);
    let twice: Vec<i16> = [agent.clone(), agent.clone()].concat();
    let half = agent.len();
    let first = EchoPath::line(60, -6.0);
    for second in [EchoPath::line(140, -15.0), EchoPath::room(60, -14.0, 100)] {
        let moments = call_over(&twice, &[], &[(0, &first), (half, &second)], |_| 0);
        let after = &moments[half / 160 + 15..];
        assert!(let_through(after, 0).percent() < 8.0);
    }
    let none = EchoPath::none();
    let later: Vec<i16> = [vec![0; half + 16_000], caller].concat();
    let moments = call_over(&twice, &later, &[(0, &first), (half, &none)], |_| 0);
    let share = silenced(&moments[half / 160 + 90..], 0.0);
    assert!(share.of > 40 && share.percent() <= 4.0, "{share:?}");
}

#[test]
fn an_echo_is_known_though_the_network_delays_it_now_more_and_now_less() {
    let agent = at_level(&speech("jfk.wav"), -20.0);
    let path = EchoPath::line(60, -6.0);
    // It gets faster once, and is slower now and then.
    let late = |n: usize| usize::from(n < 150) + [0, 0, 2, 1, 0, 0, 0, 1, 3][n % 9];
    let moments = call_over(&agent, &[], &[(0, &path)], late);
    let through = let_through(&moments, 5);
    assert!(through.of > 150 && through.percent() < 4.0, "{through:?}");
    assert!(longest_run(&moments, 5) <= 2);
}
