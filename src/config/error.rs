//! What is wrong with a configuration, in the words that the person at the terminal reads.

use std::fmt;
use std::path::{Path, PathBuf};

/// Where a value was written.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// On this line (from 1) of the configuration file.
    Line(usize),
    /// In this environment variable.
    Env(String),
    /// Nowhere: the value was left out.
    Absent,
}

/// One thing that is wrong, with where it is and how it is mended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Where it was written.
    pub origin: Origin,
    /// The key in dotted form (`sip.listen`); empty when no key is to blame.
    pub key: String,
    /// What is wrong and what to do; never holds a secret's value.
    pub message: String,
}

/// Everything that is wrong with a configuration, in the order of its lines.
///
/// `Display` prints one problem a line, each naming the file, the line, the key and the mend.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct ConfigErrors {
    file: Option<PathBuf>,
    problems: Vec<Problem>,
}

impl ConfigErrors {
    /// The exit code of a command that stops at a wrong configuration.
    pub const EXIT_CODE: u8 = 2;

    pub(super) fn new(file: Option<&Path>, mut problems: Vec<Problem>) -> Self {
        problems.sort_by(|a, b| a.origin.cmp(&b.origin));
        problems.dedup();
        Self {
            file: file.map(Path::to_owned),
            problems,
        }
    }

    /// Returns the problems, in the order of the file's lines.
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    /// Returns the file that was read, where there was one.
    pub fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }

    fn place(&self, origin: &Origin) -> String {
        let file = || match &self.file {
            Some(file) => file.display().to_string(),
            None => "configuration".to_owned(),
        };
        match origin {
            Origin::Line(line) => format!("{}:{line}", file()),
            Origin::Env(name) => format!("environment variable {name}"),
            Origin::Absent => file(),
        }
    }
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.problems.iter().enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            write!(f, "{}: ", self.place(&problem.origin))?;
            if !problem.key.is_empty() {
                write!(f, "{}: ", problem.key)?;
            }
            f.write_str(&problem.message)?;
        }
        Ok(())
    }
}
