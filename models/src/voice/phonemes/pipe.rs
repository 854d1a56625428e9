//! The pipe to the program: who asked what, and a program that is always there again.
//!
//! The protocol is described in `phonemes/src/protocol.rs`. A thread of its own starts the program,
//! reads its answers and starts it again when it ends; askers write their requests themselves. What
//! is on its way is bounded below what a pipe holds, so that writing never blocks.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use super::PhonemeError;

/// How many bytes of requests may be on their way: a pipe on Linux holds 64 KiB.
const IN_FLIGHT_LIMIT: usize = 32 * 1024;
/// The first pause before the program is started again; each failure doubles it.
const RESTART_PAUSE: Duration = Duration::from_millis(50);
/// The longest pause before the program is started again.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// The longest line and the longest body that the program may send, in bytes.
const LINE_LIMIT: u64 = 1024;
const BODY_LIMIT: usize = 256 * 1024;

type Answer = Result<String, PhonemeError>;

/// An answer that is on its way.
pub(super) struct Reply {
    answer: Receiver<Answer>,
}

pub(super) struct Pipe {
    state: Arc<(Mutex<State>, Condvar)>,
    timeout: Duration,
    thread: Option<JoinHandle<()>>,
}

struct State {
    program: Program,
    waiting: HashMap<u64, (SyncSender<Answer>, usize)>,
    in_flight: usize,
    next_id: u64,
    engine: String,
    closing: bool,
}

enum Program {
    /// Being started, or its restart is awaited.
    Absent,
    Running {
        child: Child,
        input: ChildStdin,
    },
    /// The last start failed.
    Failed(String),
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Pipe {
    /// Starts the program and waits for its first word.
    pub(super) fn open(
        program: PathBuf,
        espeak: Option<PathBuf>,
        timeout: Duration,
    ) -> Result<Self, PhonemeError> {
        let state = State {
            program: Program::Absent,
            waiting: HashMap::new(),
            in_flight: 0,
            next_id: 1,
            engine: String::new(),
            closing: false,
        };
        let state = Arc::new((Mutex::new(state), Condvar::new()));
        let for_thread = Arc::clone(&state);
        let thread = std::thread::Builder::new()
            .name("phonemes".to_owned())
            .spawn(move || keep_running(&for_thread, &program, espeak.as_deref()))
            .map_err(|error| PhonemeError::Start(error.to_string()))?;
        let pipe = Self {
            state,
            timeout,
            thread: Some(thread),
        };
        // A cold disk may make the first start slow.
        drop(pipe.running(timeout.max(LONGEST_PAUSE))?);
        Ok(pipe)
    }

    /// Sends a request off.
    pub(super) fn ask(&self, voice: &str, text: &str) -> Result<Reply, PhonemeError> {
        if voice.is_empty() || voice.contains(char::is_whitespace) {
            return Err(PhonemeError::Refused(format!(
                "{voice:?} is no voice's name"
            )));
        }
        // A program that died unnoticed is found out by writing to it; the next one is asked.
        match self.try_ask(voice, text) {
            Err(PhonemeError::Died) => self.try_ask(voice, text),
            other => other,
        }
    }

    fn try_ask(&self, voice: &str, text: &str) -> Result<Reply, PhonemeError> {
        let mut state = self.running(self.timeout)?;
        let id = state.next_id;
        state.next_id += 1;
        let request = format!("{id} {voice} {}\n{text}", text.len());
        if state.in_flight + request.len() > IN_FLIGHT_LIMIT {
            return Err(PhonemeError::Busy);
        }
        let Program::Running { input, .. } = &mut state.program else {
            return Err(PhonemeError::Died);
        };
        let written = input
            .write_all(request.as_bytes())
            .and_then(|()| input.flush());
        if written.is_err() {
            // The thread that reads meets the end of the answers, and starts the program again.
            let dead = std::mem::replace(&mut state.program, Program::Absent);
            if let Program::Running { child, .. } = dead {
                end(child);
            }
            return Err(PhonemeError::Died);
        }
        let (sender, answer) = sync_channel(1);
        state.in_flight += request.len();
        state.waiting.insert(id, (sender, request.len()));
        Ok(Reply { answer })
    }

    /// Waits for an answer; a program that is late is killed, since what follows would be late too.
    pub(super) fn receive(&self, reply: Reply) -> Answer {
        match reply.answer.recv_timeout(self.timeout) {
            Ok(answer) => answer,
            Err(RecvTimeoutError::Disconnected) => Err(PhonemeError::Died),
            Err(RecvTimeoutError::Timeout) => {
                let mut state = lock(&self.state.0);
                if let Program::Running { child, .. } = &mut state.program {
                    tracing::warn!(pid = child.id(), "offhook-phonemes hangs and is killed");
                    let _gone_already = child.kill();
                }
                Err(PhonemeError::Timeout)
            }
        }
    }

    pub(super) fn engine(&self) -> String {
        lock(&self.state.0).engine.clone()
    }

    pub(super) fn process_id(&self) -> Option<u32> {
        match &lock(&self.state.0).program {
            Program::Running { child, .. } => Some(child.id()),
            _ => None,
        }
    }

    /// Waits until the program runs.
    fn running(&self, patience: Duration) -> Result<MutexGuard<'_, State>, PhonemeError> {
        let (state, changed) = &*self.state;
        let (state, timeout) = changed
            .wait_timeout_while(lock(state), patience, |state| {
                matches!(state.program, Program::Absent) && !state.closing
            })
            .unwrap_or_else(PoisonError::into_inner);
        if timeout.timed_out() && matches!(state.program, Program::Absent) {
            return Err(PhonemeError::Timeout);
        }
        match &state.program {
            Program::Failed(reason) => Err(PhonemeError::Start(reason.clone())),
            _ => Ok(state),
        }
    }
}

impl Drop for Pipe {
    fn drop(&mut self) {
        let mut state = lock(&self.state.0);
        state.closing = true;
        // Without its input the program ends by itself; one that hangs does not.
        if let Program::Running { mut child, .. } =
            std::mem::replace(&mut state.program, Program::Absent)
        {
            let _gone_already = child.kill();
            let _status = child.wait();
        }
        self.state.1.notify_all();
        drop(state);
        if let Some(thread) = self.thread.take() {
            let _panicked = thread.join();
        }
    }
}

/// Starts the program again and again until the pipe is closed.
fn keep_running(state: &(Mutex<State>, Condvar), program: &Path, espeak: Option<&Path>) {
    let mut pause = RESTART_PAUSE;
    loop {
        match start(program, espeak) {
            Ok((child, input, mut output, engine)) => {
                let mut now = lock(&state.0);
                if now.closing {
                    drop(now);
                    end(child);
                    return;
                }
                now.engine = engine;
                now.program = Program::Running { child, input };
                state.1.notify_all();
                drop(now);
                let answered = deliver(state, &mut output);
                pause = if answered > 0 {
                    RESTART_PAUSE
                } else {
                    (pause * 2).min(LONGEST_PAUSE)
                };
                fail_waiting(&state.0);
            }
            Err(reason) => {
                tracing::error!(reason, "offhook-phonemes cannot be started");
                let mut now = lock(&state.0);
                now.program = Program::Failed(reason);
                state.1.notify_all();
                drop(now);
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        }
        let (now, _) = state
            .1
            .wait_timeout_while(lock(&state.0), pause, |state| !state.closing)
            .unwrap_or_else(PoisonError::into_inner);
        if now.closing {
            return;
        }
        drop(now);
        tracing::warn!("offhook-phonemes is started again");
    }
}

type Started = (Child, ChildStdin, BufReader<ChildStdout>, String);

fn start(program: &Path, espeak: Option<&Path>) -> Result<Started, String> {
    let mut command = Command::new(program);
    if let Some(espeak) = espeak {
        command.arg("--espeak").arg(espeak);
    }
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    // In a group of its own, Ctrl-C at a terminal reaches the switch alone, which drains first.
    #[cfg(unix)]
    std::os::unix::process::CommandExt::process_group(&mut command, 0);
    let mut child = command
        .spawn()
        .map_err(|error| format!("{}: {error}", program.display()))?;
    let (Some(input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
        end(child);
        return Err("the program has no pipe".to_owned());
    };
    let mut output = BufReader::new(output);
    match hello(&mut output) {
        Ok(engine) => Ok((child, input, output, engine)),
        Err(reason) => {
            end(child);
            Err(reason)
        }
    }
}

fn end(mut child: Child) {
    let _gone_already = child.kill();
    let _status = child.wait();
}

/// Reads the program's first line and gives the engine's version.
fn hello(output: &mut impl BufRead) -> Result<String, String> {
    let line = line(output).ok_or("the program ended before its first word")?;
    let said = line
        .strip_prefix("offhook-phonemes 1 ")
        .ok_or("the program speaks no version 1")?;
    match said.split_once(' ') {
        Some(("ok", engine)) => Ok(engine.to_owned()),
        Some(("error", reason)) => Err(reason.to_owned()),
        _ => Err("the program's first word makes no sense".to_owned()),
    }
}

/// Hands answers to their askers until the program ends; returns how many there were.
fn deliver(state: &(Mutex<State>, Condvar), output: &mut impl BufRead) -> u64 {
    let mut count = 0;
    while let Some((id, answer)) = read_answer(output) {
        count += 1;
        let mut now = lock(&state.0);
        if let Some((asker, bytes)) = now.waiting.remove(&id) {
            now.in_flight = now.in_flight.saturating_sub(bytes);
            drop(now);
            // An asker that gave up has dropped its end.
            let _given_up = asker.try_send(answer);
        }
    }
    count
}

fn read_answer(output: &mut impl BufRead) -> Option<(u64, Answer)> {
    let line = line(output)?;
    let mut words = line.split(' ');
    let id = words.next()?.parse().ok()?;
    let good = match words.next()? {
        "ok" => true,
        "error" => false,
        _ => return None,
    };
    let length: usize = words
        .next()?
        .parse()
        .ok()
        .filter(|length| *length <= BODY_LIMIT)?;
    let mut body = vec![0; length + 1];
    output.read_exact(&mut body).ok()?;
    body.pop().filter(|last| *last == b'\n')?;
    let body = String::from_utf8(body).ok()?;
    Some((
        id,
        if good {
            Ok(body)
        } else {
            Err(PhonemeError::Refused(body))
        },
    ))
}

fn line(output: &mut impl BufRead) -> Option<String> {
    let mut line = String::new();
    output.take(LINE_LIMIT).read_line(&mut line).ok()?;
    Some(line.strip_suffix('\n')?.to_owned())
}

/// The program is gone, or speaks nonsense and has to go.
fn fail_waiting(state: &Mutex<State>) {
    let mut now = lock(state);
    if let Program::Running { child, .. } = std::mem::replace(&mut now.program, Program::Absent) {
        end(child);
    }
    now.in_flight = 0;
    for (_, (asker, _)) in now.waiting.drain() {
        let _given_up = asker.try_send(Err(PhonemeError::Died));
    }
}
