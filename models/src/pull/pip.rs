//! Which package index this machine uses, as pip would choose it.
//!
//! A closed machine says so in pip's environment or in one of its configuration files; only the key
//! `index-url` of the section `[global]` is read here.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// The public index, when neither pip's environment nor its configuration names another.
const PUBLIC_INDEX: &str = "https://pypi.org/simple";
/// Pip's way to say that no configuration file counts.
const NO_FILES: &str = "/dev/null";

/// Returns the base address of the package index, without a slash at its end.
pub(super) fn index_url() -> String {
    let variable = |name: &str| std::env::var_os(name);
    let read = |path: &Path| std::fs::read_to_string(path).ok();
    let index = configured(&variable, &read).unwrap_or_else(|| PUBLIC_INDEX.to_owned());
    index.trim_end_matches('/').to_owned()
}

/// Finds the index that a person has configured: in the environment, then in pip's files.
fn configured(
    variable: &dyn Fn(&str) -> Option<OsString>,
    read: &dyn Fn(&Path) -> Option<String>,
) -> Option<String> {
    let filled = |name: &str| variable(name).filter(|value| !value.is_empty());
    let named = ["OFFHOOK_PACKAGE_INDEX", "PIP_INDEX_URL"];
    let mut named = named
        .iter()
        .filter_map(|name| filled(name)?.into_string().ok());
    named.next().or_else(|| {
        let files = files(&filled, read);
        files
            .iter()
            .find_map(|path| index_of(&read(path).unwrap_or_default()))
    })
}

/// Lists pip's configuration files, the one that counts most first (pip's documentation,
/// "Configuration", "Location" and "Loading order").
fn files(
    variable: &dyn Fn(&str) -> Option<OsString>,
    read: &dyn Fn(&Path) -> Option<String>,
) -> Vec<PathBuf> {
    let folder = |name: &str| variable(name).map(PathBuf::from);
    let named = folder("PIP_CONFIG_FILE");
    if named.as_deref() == Some(Path::new(NO_FILES)) {
        return Vec::new();
    }
    let home = folder("HOME");
    let config = folder("XDG_CONFIG_HOME").or_else(|| Some(home.as_ref()?.join(".config")));
    // A file named in the environment takes the place of the user's own.
    let user = match &named {
        Some(named) if read(named).is_some() => [None, None],
        _ => [
            config.map(|config| config.join("pip/pip.conf")),
            home.map(|home| home.join(".pip/pip.conf")),
        ],
    };
    let site = folder("VIRTUAL_ENV").map(|site| site.join("pip.conf"));
    let shared = variable("XDG_CONFIG_DIRS").unwrap_or_else(|| "/etc/xdg".into());
    let shared: Vec<PathBuf> = std::env::split_paths(&shared).collect();
    [named, site]
        .into_iter()
        .chain(user)
        .flatten()
        .chain([PathBuf::from("/etc/pip.conf")])
        .chain(shared.iter().rev().map(|dir| dir.join("pip/pip.conf")))
        .collect()
}

/// Reads `index-url` of the section `[global]`; the last one counts, as in pip.
fn index_of(text: &str) -> Option<String> {
    let mut global = false;
    let mut found = None;
    // A value may begin in the line below its key.
    let mut awaits_value = false;
    for line in text.lines() {
        let content = line.trim();
        if content.is_empty() || content.starts_with(['#', ';']) {
            continue;
        }
        if line.starts_with(char::is_whitespace) {
            if awaits_value {
                found = Some(content.to_owned());
                awaits_value = false;
            }
            continue;
        }
        awaits_value = false;
        if let Some(section) = content.strip_prefix('[') {
            global = section.trim_end_matches(']') == "global";
            continue;
        }
        let Some((key, value)) = content.split_once(['=', ':']).filter(|_| global) else {
            continue;
        };
        if key.trim().to_ascii_lowercase().replace('_', "-") != "index-url" {
            continue;
        }
        let value = value.trim();
        awaits_value = value.is_empty();
        found = (!awaits_value).then(|| value.to_owned());
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What would be found with these variables and files.
    fn found(variables: &[(&str, &str)], files: &[(&str, &str)]) -> Option<String> {
        let text = |of: &[(&str, &str)], name: &str| {
            let entry = of.iter().find(|(key, _)| *key == name);
            entry.map(|(_, value)| (*value).to_owned())
        };
        configured(&|name| text(variables, name).map(OsString::from), &|path| {
            text(files, &path.to_string_lossy())
        })
    }

    const HOME: (&str, &str) = ("HOME", "/home/ada");
    const USER: (&str, &str) = (
        "/home/ada/.config/pip/pip.conf",
        "[global]\nindex-url = https://user.example/simple\n",
    );
    const GLOBAL: (&str, &str) = (
        "/etc/pip.conf",
        "[global]\ntimeout = 60\nindex-url = https://global.example/simple\n",
    );

    #[test]
    fn the_environment_comes_before_the_user_and_the_user_before_the_machine() {
        let variables = [HOME, ("PIP_INDEX_URL", "https://env.example/simple")];
        let env = found(&variables, &[USER, GLOBAL]);
        assert_eq!(env.as_deref(), Some("https://env.example/simple"));
        let user = found(&[HOME], &[GLOBAL, USER]);
        assert_eq!(user.as_deref(), Some("https://user.example/simple"));
        let empty = found(&[HOME, ("PIP_INDEX_URL", "")], &[GLOBAL]);
        assert_eq!(empty.as_deref(), Some("https://global.example/simple"));
        assert_eq!(found(&[HOME], &[]), None);
    }

    #[test]
    fn a_file_named_in_the_environment_replaces_the_users_and_dev_null_replaces_all() {
        let named = (
            "/opt/pip.ini",
            "[global]\nindex_url: https://named.example/simple",
        );
        let variables = [HOME, ("PIP_CONFIG_FILE", "/opt/pip.ini")];
        let by_name = found(&variables, &[named, USER, GLOBAL]);
        assert_eq!(by_name.as_deref(), Some("https://named.example/simple"));
        let silent = ("/opt/pip.ini", "[global]\ntimeout = 3");
        let rest = found(&variables, &[silent, USER, GLOBAL]);
        assert_eq!(rest.as_deref(), Some("https://global.example/simple"));
        let none = [HOME, ("PIP_CONFIG_FILE", "/dev/null")];
        assert_eq!(found(&none, &[USER, GLOBAL]), None);
    }

    #[test]
    fn only_the_global_section_counts() {
        let text = "index-url = http://none\n[install]\nindex-url = http://install\n\
                    [global]\n# index-url = http://comment\n; index-url = http://other\n\
                    extra-index-url = http://extra\nIndex_URL=http://right/simple  \n\
                    [list]\nindex-url = http://list\n";
        assert_eq!(index_of(text).as_deref(), Some("http://right/simple"));
    }

    #[test]
    fn a_value_may_stand_in_the_next_line() {
        let text =
            "[global]\nfind-links =\n    http://links\nindex-url =\n    http://below\n    x\n";
        assert_eq!(index_of(text).as_deref(), Some("http://below"));
        assert_eq!(index_of("[global]\nindex-url =\ntimeout = 3\n"), None);
        assert_eq!(index_of("[global]\nindex-url"), None);
    }
}
