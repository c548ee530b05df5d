#![allow(dead_code, reason = "each test uses what it needs")]
//! What was played, written down: a real host must do the same with it (`tests/wasm/test_corpus.py`).

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use portcullis_proxylib::Direction;
use portcullis_proxylib::testing::{Cut, Scenario, Step};
use serde::Serialize;
use serde_json::{Value, json};

/// Where clients come from and where they go, in the transcripts too: so addresses of the loopback network.
pub(crate) const SOURCE: &str = "127.0.1.1";
pub(crate) const DESTINATION: &str = "127.0.0.1";

/// Names the folder that transcripts are written to. Without it there are none.
const FOLDER: &str = "PORTCULLIS_TRANSCRIPTS";

/// Scenarios of more bytes than this are not played byte by byte: it shows nothing new, and takes long.
const BYTEWISE_MAX: usize = 4096;

/// A file with a play in each line.
pub(crate) struct Transcript(Option<BufWriter<File>>);

/// What one side sends, and what of it or instead of it went on to the other. Characters stand for bytes.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Event {
    from: &'static str,
    bytes: String,
    end: bool,
    passed: String,
    end_passed: bool,
}

impl Transcript {
    pub(crate) fn create(name: &str) -> Self {
        let file = std::env::var_os(FOLDER).map(|folder| {
            std::fs::create_dir_all(&folder).unwrap();
            let path = Path::new(&folder).join(name).with_extension("jsonl");
            BufWriter::new(File::create(path).unwrap())
        });
        Self(file)
    }

    /// A scenario that no real host can play.
    pub(crate) fn skip(&mut self, scenario: &str, why: &str) {
        self.write(&json!({"scenario": scenario, "skipped": why}));
    }

    pub(crate) fn play(&mut self, scenario: &str, cut: Cut, mut play: Value) {
        play["scenario"] = json!(scenario);
        play["cut"] = json!(format!("{cut:?}"));
        self.write(&play);
    }

    fn write(&mut self, line: &Value) {
        if let Some(file) = &mut self.0 {
            writeln!(file, "{line}").unwrap();
        }
    }
}

impl Event {
    pub(crate) fn new(direction: Direction, bytes: &[u8], end: bool, passed: &[u8], goes_on: bool) -> Self {
        let from = match direction {
            Direction::Orig => "client",
            Direction::Reply => "server",
        };
        Self { from, bytes: text(bytes), end, passed: text(passed), end_passed: end && goes_on }
    }
}

/// Bytes as text: each as the character of its number.
pub(crate) fn text(bytes: &[u8]) -> String {
    bytes.iter().map(|&byte| char::from(byte)).collect()
}

/// Whether a cut is one of those that transcripts have: pieces of an event are the same to a real host.
pub(crate) fn is_played(cut: Cut, scenario: &Scenario) -> bool {
    let sent = |step: &Step| match step {
        Step::Client(bytes) | Step::Server(bytes) => bytes.0.len(),
        Step::ClientEnd(()) | Step::ServerEnd(()) => 0,
    };
    match cut {
        Cut::Whole | Cut::Random(0) => true,
        Cut::Bytewise => scenario.steps.iter().map(sent).sum::<usize>() <= BYTEWISE_MAX,
        Cut::Random(_) | Cut::Pieces(_) => false,
    }
}
