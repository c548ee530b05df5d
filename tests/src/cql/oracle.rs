//! Cassandra's own parser, called from its jar by a program in Java.

use std::env;
use std::fs;
use std::io::{BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::thread;

use super::{Act, Reading};

/// The program while it runs.
pub struct Oracle {
    child: Child,
    stdin: BufWriter<ChildStdin>,
    stdout: ChildStdout,
}

/// Where the class path of Cassandra is written, if it was fetched and Java is there.
///
/// # Errors
///
/// What is missing.
pub fn find() -> Result<String, String> {
    let file = env::var_os("PORTCULLIS_CASSANDRA_CLASSPATH")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../.cache/cassandra/cp.txt"), PathBuf::from);
    let path = fs::read_to_string(&file).map_err(|error| {
        format!("no class path of Cassandra: `{}`: {error}; see tools/fetch-cassandra", file.display())
    })?;
    for program in ["java", "javac"] {
        Command::new(program).arg("-version").output().map_err(|error| format!("`{program}`: {error}"))?;
    }
    Ok(path.trim().to_owned())
}

impl Oracle {
    /// Compiles the program into this folder, and starts it.
    pub fn start(class_path: &str, folder: &Path) -> Self {
        let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("cassandra/oracle");
        let compiled = Command::new("javac")
            .args(["-nowarn", "-cp", class_path, "-d"])
            .arg(folder)
            .arg(sources.join("Oracle.java"))
            .status()
            .unwrap();
        assert!(compiled.success(), "the oracle does not compile");
        let mut child = Command::new("java")
            .args(["-Xmx512m", "-XX:+UseSerialGC"])
            .arg(format!("-Dlogback.configurationFile={}", sources.join("logback.xml").display()))
            .arg("-cp")
            .arg(format!("{}:{class_path}", folder.display()))
            .arg("Oracle")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let stdin = BufWriter::new(child.stdin.take().unwrap());
        let stdout = child.stdout.take().unwrap();
        Self { child, stdin, stdout }
    }

    /// What Cassandra's parser says of each text; none where it refuses.
    pub fn read(&mut self, texts: &[Vec<u8>]) -> Vec<Option<Reading>> {
        let Self { stdin, stdout, .. } = self;
        thread::scope(|scope| {
            // The program answers while it is asked: whoever does not listen keeps it from hearing.
            scope.spawn(|| {
                for text in texts {
                    stdin.write_all(&u32::try_from(text.len()).unwrap().to_be_bytes()).unwrap();
                    stdin.write_all(text).unwrap();
                }
                stdin.flush().unwrap();
            });
            texts.iter().map(|_| answer(stdout)).collect()
        })
    }
}

impl Drop for Oracle {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn answer(stdout: &mut ChildStdout) -> Option<Reading> {
    let mut len = [0; 4];
    stdout.read_exact(&mut len).expect("the oracle has ended");
    let mut bytes = vec![0; u32::from_be_bytes(len) as usize];
    stdout.read_exact(&mut bytes).unwrap();
    let (accepted, mut rest) = bytes.split_first().unwrap();
    if *accepted == 0 {
        return None;
    }
    let is_batch = rest.split_off_first().unwrap() == &1;
    let count = number(&mut rest);
    let mut act = || {
        let action = string(&mut rest).unwrap();
        let count = number(&mut rest);
        let mut object = || (string(&mut rest).unwrap(), string(&mut rest), string(&mut rest));
        Act { action, objects: (0..count).map(|_| object()).collect() }
    };
    Some(Reading { is_batch, statements: (0..count).map(|_| act()).collect() })
}

fn number(rest: &mut &[u8]) -> i32 {
    let (bytes, left) = rest.split_first_chunk().unwrap();
    *rest = left;
    i32::from_be_bytes(*bytes)
}

fn string(rest: &mut &[u8]) -> Option<String> {
    let len = usize::try_from(number(rest)).ok()?;
    Some(String::from_utf8(rest.split_off(..len).unwrap().to_vec()).unwrap())
}
