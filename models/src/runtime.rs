//! ONNX Runtime: loaded once per process, and the sessions that run graphs in it.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, TryLockError};

use ort::environment::Environment;
use ort::logging::LogLevel;
use ort::session::Session;
use ort::session::builder::{GraphOptimizationLevel, PrepackedWeights, SessionBuilder};
use ort::value::DynValue;
use thiserror::Error;

use crate::manifest::Manifest;

/// Why a model cannot be loaded or run.
#[derive(Debug, Error)]
pub enum ModelError {
    /// A file of the cache folder is not there.
    #[error("{} is missing: {}", .0.display(), Manifest::embedded().mend(.0))]
    Missing(PathBuf),
    /// ONNX Runtime's library is there but cannot be loaded.
    #[error("ONNX Runtime cannot be loaded from {}: {reason}", .path.display())]
    Library {
        /// The library.
        path: PathBuf,
        /// What the loader says.
        reason: String,
    },
    /// A file cannot be read.
    #[error("{} cannot be read: {source}", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file holds not what its name says.
    #[error("{what} is malformed: {reason}")]
    Malformed {
        /// The file or the part of it.
        what: String,
        /// What is wrong.
        reason: String,
    },
    /// ONNX Runtime refused a graph or failed to run it.
    #[error("ONNX Runtime: {0}")]
    Run(ort::Error),
}

/// Any stage's error; those of a session builder give the builder back, which is dropped here.
impl<R> From<ort::Error<R>> for ModelError {
    fn from(error: ort::Error<R>) -> Self {
        Self::Run(ort::Error::new(error.to_string()))
    }
}

impl ModelError {
    /// Makes the error for a malformed file or part of one.
    pub fn malformed(what: impl Into<String>, reason: impl std::fmt::Display) -> Self {
        Self::Malformed {
            what: what.into(),
            reason: reason.to_string(),
        }
    }
}

/// Reads a whole file of the cache folder.
///
/// # Errors
/// [`ModelError::Missing`] names the command that fetches it; [`ModelError::Read`] otherwise.
pub fn read_file(path: &Path) -> Result<Vec<u8>, ModelError> {
    std::fs::read(path).map_err(|source| match source.kind() {
        std::io::ErrorKind::NotFound => ModelError::Missing(path.to_owned()),
        _ => ModelError::Read {
            path: path.to_owned(),
            source,
        },
    })
}

/// ONNX Runtime, loaded; cheap to clone.
#[derive(Clone)]
pub struct Runtime {
    environment: Environment,
    concurrency: usize,
}

static ENVIRONMENT: OnceLock<Environment> = OnceLock::new();
static LOADING: Mutex<()> = Mutex::new(());

impl Runtime {
    /// Loads ONNX Runtime's library from the model folder; a second call returns the runtime
    /// that the process already has.
    ///
    /// # Errors
    /// The library is missing (the message names the command that fetches it) or unusable.
    pub fn load(dir: &Path) -> Result<Self, ModelError> {
        let _one_at_a_time = LOADING.lock().unwrap_or_else(PoisonError::into_inner);
        let environment = match ENVIRONMENT.get() {
            Some(environment) => environment.clone(),
            None => {
                let environment = open_library(dir)?;
                ENVIRONMENT.get_or_init(|| environment).clone()
            }
        };
        Ok(Self {
            environment,
            concurrency: 1,
        })
    }

    /// Sets how many runs of one graph may go on at once (the number of inference threads).
    #[must_use]
    pub fn with_concurrency(mut self, runs: usize) -> Self {
        self.concurrency = runs.max(1);
        self
    }

    /// Returns how many runs of one graph may go on at once.
    #[must_use]
    pub fn concurrency(&self) -> usize {
        self.concurrency
    }

    /// Loads a graph from an `.onnx` file.
    ///
    /// # Errors
    /// The file is missing or ONNX Runtime refuses it.
    pub fn graph_from_file(&self, path: &Path) -> Result<Graph, ModelError> {
        self.graph(&read_file(path)?, &Weights::default())
    }

    /// Loads a graph from the bytes of a model; `weights` are the constants that the model
    /// declares as shared, held once in memory for all sessions of the graph.
    ///
    /// # Errors
    /// ONNX Runtime refuses the graph.
    pub fn graph(&self, model: &[u8], weights: &Weights) -> Result<Graph, ModelError> {
        let prepacked = PrepackedWeights::new();
        let first = Mutex::new(self.session(model, weights, &prepacked)?);
        let rest = (1..self.concurrency)
            .map(|_| Ok(Mutex::new(self.session(model, weights, &prepacked)?)))
            .collect::<Result<_, ModelError>>()?;
        Ok(Graph { first, rest })
    }

    fn session(
        &self,
        model: &[u8],
        weights: &Weights,
        prepacked: &PrepackedWeights,
    ) -> Result<Session, ModelError> {
        let mut builder = self.session_builder()?.with_prepacked_weights(prepacked)?;
        for (name, value) in &weights.0 {
            builder = builder.with_external_initializer(name, Arc::clone(value))?;
        }
        Ok(builder.commit_from_memory(model)?)
    }

    /// Starts a session as all of Offhook's are: one thread, no spinning, all optimisations.
    fn session_builder(&self) -> Result<SessionBuilder, ModelError> {
        let builder = Session::builder(&self.environment)?
            .with_log_level(LogLevel::Error)?
            .with_intra_threads(1)?
            .with_inter_threads(1)?
            .with_intra_op_spinning(false)?
            .with_inter_op_spinning(false)?
            .with_optimization_level(GraphOptimizationLevel::All)?;
        Ok(builder)
    }
}

impl std::fmt::Debug for Runtime {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Runtime")
            .field("concurrency", &self.concurrency)
            .finish_non_exhaustive()
    }
}

fn open_library(dir: &Path) -> Result<Environment, ModelError> {
    let path = Manifest::embedded().runtime_library(dir);
    if !path.is_file() {
        return Err(ModelError::Missing(path));
    }
    let builder = ort::init_from(&path).map_err(|error| ModelError::Library {
        path: path.clone(),
        reason: error.to_string(),
    })?;
    Ok(builder.with_name("offhook").with_telemetry(false).build()?)
}

/// Constants of a graph kept outside it, by name; cheap to clone.
#[derive(Clone, Default)]
pub struct Weights(Vec<(String, Arc<DynValue>)>);

impl Weights {
    /// Adds a constant.
    pub fn insert(&mut self, name: impl Into<String>, value: DynValue) {
        self.0.push((name.into(), Arc::new(value)));
    }
}

/// A loaded graph that several threads may run: a pool of sessions over the same weights.
///
/// ONNX Runtime's `Run` is not used concurrently on one session (the binding demands `&mut`),
/// so there is a session per inference thread, made once at load.
pub struct Graph {
    first: Mutex<Session>,
    rest: Vec<Mutex<Session>>,
}

impl Graph {
    /// Lends a session, waiting only when more threads run the graph than it has sessions.
    pub fn session(&self) -> MutexGuard<'_, Session> {
        for session in std::iter::once(&self.first).chain(&self.rest) {
            match session.try_lock() {
                Ok(session) => return session,
                Err(TryLockError::Poisoned(poisoned)) => return poisoned.into_inner(),
                Err(TryLockError::WouldBlock) => {}
            }
        }
        self.first.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Graph {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Graph")
            .field("sessions", &(1 + self.rest.len()))
            .finish()
    }
}
