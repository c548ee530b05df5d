//! How it stands with the policies.

use std::fs;
use std::io;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::Serialize;

/// How it stands with the policies, for metrics and for a status file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// The generation in force; 0 if there never was one.
    pub generation: u64,
    /// A digest of the files that it was compiled from.
    pub hash: u64,
    /// When their policies were put in force.
    pub since: Option<SystemTime>,
    /// How many updates were refused, in whole or in part.
    pub refused: u64,
    /// Why the last one was, unless a good one followed.
    pub error: Option<String>,
    /// The namespaces that are held back, where namespaces are isolated.
    pub held: Vec<String>,
    /// Until when all denials are only watched, as the break-glass file has it.
    pub break_glass: Option<String>,
    /// Why the break-glass file cannot be used.
    pub break_glass_error: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Written<'a> {
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a str>,
    generation: u64,
    hash: String,
    since: Option<u64>,
    age: Option<u64>,
    refused: u64,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    held: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    break_glass: Option<&'a str>,
}

impl Status {
    /// The status as a line of JSON: `{"status":"ok",…}` or `{"status":"error","error":…,…}`. `since` is in seconds from
    /// 1970 on, `age` in seconds until `now`; both are null before any policy was in force.
    pub fn to_json(&self, now: SystemTime) -> String {
        let error = self.error.as_deref().or(self.break_glass_error.as_deref());
        let seconds = |from: SystemTime, to: SystemTime| to.duration_since(from).map_or(0, |span| span.as_secs());
        let written = Written {
            status: if error.is_some() { "error" } else { "ok" },
            error,
            generation: self.generation,
            hash: format!("{:016x}", self.hash),
            since: self.since.map(|since| seconds(UNIX_EPOCH, since)),
            age: self.since.map(|since| seconds(since, now)),
            refused: self.refused,
            held: &self.held,
            break_glass: self.break_glass.as_deref(),
        };
        // Texts and numbers under texts: there is nothing in it that JSON could not say.
        serde_json::to_string(&written).unwrap_or_else(|_| "{\"status\":\"error\"}".to_owned()) + "\n"
    }

    /// Writes the status to a file, replacing it whole.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn write(&self, path: &Path, now: SystemTime) -> io::Result<()> {
        let mut beside = path.as_os_str().to_owned();
        beside.push(".new");
        fs::write(&beside, self.to_json(now))?;
        fs::rename(&beside, path)
    }
}
