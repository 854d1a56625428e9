//! `offhook-phonemes` turns text into phonemes with espeak-ng, over a pipe.
//!
//! espeak-ng is licensed under GPL-3 and keeps global state, so it lives in this small program of
//! the same licence and never inside the switch: the two exchange text over standard input and
//! output and nothing else. [`protocol`] describes what is exchanged.
//!
//! ```text
//! offhook-phonemes [--espeak DIR]
//! ```
//!
//! `DIR` holds `libespeak-ng` and its `espeak-ng-data`; `OFFHOOK_ESPEAK_DIR` says the same. Without
//! either the system's own libespeak-ng is used. The program ends when its input ends.

mod espeak;
mod protocol;

use std::ffi::OsString;
use std::io::{self, BufReader, BufWriter, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use espeak::Espeak;

const USAGE: &str = "\
usage: offhook-phonemes [--espeak DIR]

Reads requests on standard input and answers with espeak-ng's phonemes on standard output.

  --espeak DIR   where libespeak-ng and espeak-ng-data are (default: $OFFHOOK_ESPEAK_DIR,
                 then the system's library)
  --version      print the program's version and end
  --help         print this and end

example:  printf '1 en-us 12\\nHello world.' | offhook-phonemes
";

/// What the command line asks for.
enum Command {
    Serve(Option<PathBuf>),
    Print(String),
    Refuse(String),
}

fn parse(mut arguments: impl Iterator<Item = OsString>) -> Command {
    let mut directory = std::env::var_os("OFFHOOK_ESPEAK_DIR")
        .filter(|value| !value.is_empty())
        .map(PathBuf::from);
    while let Some(argument) = arguments.next() {
        match argument.to_str() {
            Some("--help" | "-h") => return Command::Print(USAGE.to_owned()),
            Some("--version" | "-V") => {
                return Command::Print(format!("offhook-phonemes {}\n", env!("CARGO_PKG_VERSION")));
            }
            Some("--espeak") => match arguments.next() {
                Some(value) => directory = Some(PathBuf::from(value)),
                None => return Command::Refuse("--espeak needs a directory".to_owned()),
            },
            _ => return Command::Refuse(format!("unknown argument {argument:?}")),
        }
    }
    Command::Serve(directory)
}

fn serve(directory: Option<PathBuf>) -> io::Result<ExitCode> {
    let mut output = BufWriter::new(io::stdout().lock());
    let mut espeak = match Espeak::load(directory.as_deref()) {
        Ok(espeak) => espeak,
        Err(error) => {
            protocol::write_refusal(&mut output, &error.to_string())?;
            return Ok(ExitCode::FAILURE);
        }
    };
    protocol::write_hello(&mut output, espeak.version())?;
    let mut input = BufReader::new(io::stdin().lock());
    let end = protocol::serve(&mut input, &mut output, |voice, text| {
        espeak
            .phonemes(voice, text)
            .map_err(|error| error.to_string())
    })?;
    Ok(match end {
        protocol::End::InputClosed => ExitCode::SUCCESS,
        protocol::End::Unframed => ExitCode::from(2),
    })
}

fn main() -> ExitCode {
    let outcome = match parse(std::env::args_os().skip(1)) {
        Command::Serve(directory) => serve(directory),
        Command::Print(text) => io::stdout()
            .lock()
            .write_all(text.as_bytes())
            .map(|()| ExitCode::SUCCESS),
        Command::Refuse(reason) => {
            let message = format!("offhook-phonemes: {reason}\n{USAGE}");
            io::stderr()
                .lock()
                .write_all(message.as_bytes())
                .map(|()| ExitCode::from(2))
        }
    };
    // A closed pipe means that the other side is gone: nobody is left to tell.
    outcome.unwrap_or(ExitCode::FAILURE)
}
