//! libespeak-ng, loaded at run time.
//!
//! The library is used rather than the pure-Rust port of it because the port was heard to differ:
//! over 537 telephone prompts it gave the library's phonemes for 85 % of the sentences ("nineteen"
//! became "ninety-teen", "voicemail" gained a syllable) and took forty times as long.

// The C interface cannot be reached otherwise; every call is in this file.
#![allow(unsafe_code)]

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::ptr;

use libloading::{Library, Symbol};
use thiserror::Error;

/// `AUDIO_OUTPUT_SYNCHRONOUS`: no audio device, no thread.
const OUTPUT_SYNCHRONOUS: c_int = 2;
/// `espeakINITIALIZE_DONT_EXIT`: missing data is an error instead of the end of the process.
const DONT_EXIT: c_int = 0x8000;
/// `espeakCHARS_UTF8`.
const CHARS_UTF8: c_int = 1;
/// Phonemes as International Phonetic Alphabet in UTF-8.
const PHONEMES_IPA: c_int = 0x02;
/// `EE_OK`.
const OK: c_int = 0;

type Initialize = unsafe extern "C" fn(c_int, c_int, *const c_char, c_int) -> c_int;
type SetVoiceByName = unsafe extern "C" fn(*const c_char) -> c_int;
type TextToPhonemes = unsafe extern "C" fn(*mut *const c_void, c_int, c_int) -> *const c_char;
type Info = unsafe extern "C" fn(*mut *const c_char) -> *const c_char;

/// Why espeak-ng could not be loaded or could not speak.
#[derive(Debug, Error)]
pub(crate) enum EspeakError {
    #[error("no libespeak-ng in {0}")]
    NoLibrary(PathBuf),
    #[error("libespeak-ng: {0}")]
    Library(#[from] libloading::Error),
    #[error("espeak-ng finds no usable espeak-ng-data in {0}")]
    NoData(String),
    #[error("a path or a voice name holds a zero byte")]
    ZeroByte,
    #[error("espeak-ng has no voice {0:?}")]
    UnknownVoice(String),
    #[error("espeak-ng gave phonemes that are not UTF-8")]
    NotUtf8,
}

/// espeak-ng with one voice selected; there can be only one in a process.
pub(crate) struct Espeak {
    library: Library,
    version: String,
    voice: Option<String>,
}

impl Espeak {
    /// Loads the library and its data from `directory`, or the system's own.
    pub(crate) fn load(directory: Option<&Path>) -> Result<Self, EspeakError> {
        let name = match directory {
            Some(directory) => library_in(directory)?,
            None => PathBuf::from(SYSTEM_LIBRARY),
        };
        // SAFETY: libespeak-ng runs no code of its own when it is loaded.
        let library = unsafe { Library::new(&name)? };
        let data = directory
            .map(|directory| CString::new(directory.as_os_str().as_bytes()))
            .transpose()
            .map_err(|_| EspeakError::ZeroByte)?;
        let data_pointer = data.as_ref().map_or(ptr::null(), |data| data.as_ptr());
        // SAFETY: the type is the declaration of `espeak_Initialize` in speak_lib.h.
        let initialize: Symbol<'_, Initialize> = unsafe { library.get(b"espeak_Initialize\0")? };
        // SAFETY: the path is null or ends with a zero byte and outlives the call.
        let rate = unsafe { initialize(OUTPUT_SYNCHRONOUS, 0, data_pointer, DONT_EXIT) };
        if rate <= 0 {
            let place = directory.map_or_else(|| "the system".into(), Path::to_string_lossy);
            return Err(EspeakError::NoData(place.into_owned()));
        }
        let version = version_of(&library)?;
        Ok(Self {
            library,
            version,
            voice: None,
        })
    }

    /// The library's version, such as `1.52.0`.
    pub(crate) fn version(&self) -> &str {
        &self.version
    }

    /// Gives the phonemes of `text` in IPA, its clauses joined by a space.
    pub(crate) fn phonemes(&mut self, voice: &str, text: &str) -> Result<String, EspeakError> {
        self.select(voice)?;
        // A zero byte would end the C string early.
        let text = CString::new(text.replace('\0', " ")).map_err(|_| EspeakError::ZeroByte)?;
        // SAFETY: the type is the declaration of `espeak_TextToPhonemes` in speak_lib.h.
        let translate: Symbol<'_, TextToPhonemes> =
            unsafe { self.library.get(b"espeak_TextToPhonemes\0")? };
        let mut rest: *const c_void = text.as_ptr().cast();
        let mut phonemes = String::new();
        // Each round takes one clause of at least a byte: the bound only guards against a library
        // that makes no progress.
        for _ in 0..=text.as_bytes().len() {
            if rest.is_null() {
                break;
            }
            // SAFETY: `rest` points into `text`, which lives and ends with a zero byte.
            let clause = unsafe { translate(&mut rest, CHARS_UTF8, PHONEMES_IPA) };
            if clause.is_null() {
                break;
            }
            // SAFETY: the library returns a string that is valid until its next call.
            let clause = unsafe { CStr::from_ptr(clause) };
            let clause = clause.to_str().map_err(|_| EspeakError::NotUtf8)?.trim();
            if !clause.is_empty() {
                if !phonemes.is_empty() {
                    phonemes.push(' ');
                }
                // One line per reply keeps the protocol readable by eye.
                phonemes.extend(clause.chars().map(|c| if c == '\n' { ' ' } else { c }));
            }
        }
        Ok(phonemes)
    }

    fn select(&mut self, voice: &str) -> Result<(), EspeakError> {
        if self.voice.as_deref() == Some(voice) {
            return Ok(());
        }
        let name = CString::new(voice).map_err(|_| EspeakError::ZeroByte)?;
        // SAFETY: the type is the declaration of `espeak_SetVoiceByName` in speak_lib.h.
        let set: Symbol<'_, SetVoiceByName> =
            unsafe { self.library.get(b"espeak_SetVoiceByName\0")? };
        // SAFETY: the name ends with a zero byte and outlives the call.
        if unsafe { set(name.as_ptr()) } != OK {
            // A refused name may have changed what was selected.
            self.voice = None;
            return Err(EspeakError::UnknownVoice(voice.to_owned()));
        }
        self.voice = Some(voice.to_owned());
        Ok(())
    }
}

#[cfg(target_os = "macos")]
const SYSTEM_LIBRARY: &str = "libespeak-ng.dylib";
#[cfg(not(target_os = "macos"))]
const SYSTEM_LIBRARY: &str = "libespeak-ng.so.1";

/// Finds the library in `directory`, whatever version its name carries.
fn library_in(directory: &Path) -> Result<PathBuf, EspeakError> {
    let missing = || EspeakError::NoLibrary(directory.to_owned());
    let mut found: Vec<PathBuf> = std::fs::read_dir(directory)
        .map_err(|_| missing())?
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter(|path| {
            let name = path.file_name().map(|name| name.to_string_lossy());
            name.is_some_and(|name| {
                name.starts_with("libespeak-ng.so") || name == "libespeak-ng.dylib"
            })
        })
        .collect();
    found.sort();
    found.into_iter().next().ok_or_else(missing)
}

fn version_of(library: &Library) -> Result<String, EspeakError> {
    // SAFETY: the type is the declaration of `espeak_Info` in speak_lib.h.
    let info: Symbol<'_, Info> = unsafe { library.get(b"espeak_Info\0")? };
    // SAFETY: the argument may be null; the result is a constant of the library.
    let version = unsafe { info(ptr::null_mut()) };
    if version.is_null() {
        return Ok("unknown".to_owned());
    }
    // SAFETY: a non-null version is a constant string of the library.
    let version = unsafe { CStr::from_ptr(version) }.to_string_lossy();
    Ok(version
        .split_whitespace()
        .next()
        .unwrap_or("unknown")
        .to_owned())
}
