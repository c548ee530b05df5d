//! The scenario corpus: connections as data, one folder for each protocol.

pub mod cql;
pub mod differential;

use std::fs;
use std::path::{Path, PathBuf};

use portcullis_proxylib::testing::Scenario;

/// The folder of the corpus.
pub fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios")
}

/// Every scenario, with the path of its file below the corpus, sorted.
///
/// # Panics
/// A file cannot be read, or is not a scenario.
pub fn scenarios() -> Vec<(String, Scenario)> {
    let mut files = Vec::new();
    list(&corpus(), &mut files);
    files.sort();
    assert!(!files.is_empty(), "the corpus is empty");
    files.into_iter().map(|path| read(&path)).collect()
}

fn list(folder: &Path, files: &mut Vec<PathBuf>) {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    for entry in entries {
        let path = entry.unwrap_or_else(|error| panic!("{}: {error}", folder.display())).path();
        if path.is_dir() {
            list(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "json") {
            files.push(path);
        }
    }
}

fn read(path: &Path) -> (String, Scenario) {
    let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let scenario = Scenario::parse(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let name = path.strip_prefix(corpus()).unwrap_or(path).display().to_string();
    (name, scenario)
}
