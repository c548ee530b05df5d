//! Runs the program.
#![allow(dead_code, unreachable_pub, reason = "each test includes it, and uses a part of it")]

use std::path::Path;
use std::process::{Command, Output};

/// What the program did.
pub struct Ran {
    pub out: String,
    pub err: String,
    pub code: i32,
}

/// Runs the program in a folder.
pub fn run(folder: &Path, args: &[&str]) -> Ran {
    let mut command = Command::new(env!("CARGO_BIN_EXE_portcullis"));
    let Output { status, stdout, stderr } = command.args(args).current_dir(folder).output().expect("the program");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
    Ran { out: text(stdout), err: text(stderr), code: status.code().expect("an end of its own") }
}

/// Runs the program with `-o json`. The result, and the exit status.
pub fn run_json(folder: &Path, args: &[&str]) -> (serde_json::Value, i32) {
    let ran = run(folder, &[&["-o", "json"], args].concat());
    let value = serde_json::from_str(&ran.out).unwrap_or_else(|error| panic!("{error}: {}{}", ran.out, ran.err));
    (value, ran.code)
}

/// Runs the examples of a page: lines that begin with `$ portcullis` in blocks of `console`, with what they write. With
/// `PORTCULLIS_WRITE=1` the page is written anew.
pub fn check_page(page: &str, folder: &Path) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/cli").join(page);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut written = String::new();
    let mut lines = text.lines().peekable();
    let mut examples = 0;
    let mut inside = false;
    while let Some(line) = lines.next() {
        written += line;
        written += "\n";
        if line.starts_with("```") {
            inside = line == "```console";
        }
        let Some(command) = line.strip_prefix("$ portcullis ").filter(|_| inside) else { continue };
        let mut command = command.to_owned();
        while command.ends_with('\\') {
            let next = lines.next().expect("the rest of a command");
            written += next;
            written += "\n";
            command.pop();
            command += next.trim_start();
        }
        while lines.peek().is_some_and(|next| !next.starts_with("$ ") && !next.starts_with("```")) {
            lines.next();
        }
        let args: Vec<_> = command.split_whitespace().collect();
        let ran = run(folder, &args);
        written += &ran.out;
        written += &ran.err;
        examples += 1;
    }
    assert!(examples > 0, "{page} has no example");
    if std::env::var_os("PORTCULLIS_WRITE").is_some() {
        std::fs::write(&path, &written).expect("a file");
    }
    let hint = "is stale: run `PORTCULLIS_WRITE=1 cargo test -p portcullis-cli`";
    assert!(text == written || std::env::var_os("PORTCULLIS_WRITE").is_some(), "{page} {hint}\n{written}");
}
