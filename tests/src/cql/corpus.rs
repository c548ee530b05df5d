//! Texts of every production of Cassandra's grammar: one in each line of `tests/cassandra/corpus/*.cql`, in which `␤`
//! stands for a line feed.

use std::fs;
use std::path::Path;

/// All of them, in the order of the files' names.
pub fn read() -> Vec<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("cassandra/corpus");
    let mut files: Vec<_> = fs::read_dir(&folder)
        .unwrap_or_else(|error| panic!("`{}`: {error}", folder.display()))
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "cql"))
        .collect();
    files.sort();
    let texts = files.iter().map(|file| fs::read_to_string(file).unwrap());
    let lines: Vec<String> =
        texts.flat_map(|text| text.lines().map(|line| line.replace('␤', "\n")).collect::<Vec<_>>()).collect();
    assert!(lines.len() > 300, "the corpus is not complete");
    lines
}
