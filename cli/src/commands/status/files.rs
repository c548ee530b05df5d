//! Status files, which listeners write.

use std::io::Read;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Context;
use serde::{Deserialize, Serialize};

/// How it stands with the policies of one listener.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub(super) struct Written {
    pub(super) status: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) error: Option<String>,
    pub(super) generation: u64,
    #[serde(default)]
    pub(super) hash: String,
    pub(super) since: Option<u64>,
    pub(super) refused: u64,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) held: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) break_glass: Option<String>,
}

/// A status file at some time.
#[derive(Clone, Debug, Serialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub(super) struct StatusFile {
    pub(super) file: String,
    #[serde(flatten)]
    pub(super) written: Written,
    /// Seconds that the policies in force have been.
    pub(super) age: Option<u64>,
    /// Seconds since the listener wrote the file, if that is longer than it should be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) stale: Option<u64>,
}

impl StatusFile {
    pub(super) fn load(path: &Path, now: SystemTime) -> anyhow::Result<Self> {
        let name = path.display().to_string();
        let context = || format!("`{name}` cannot be read");
        let file = std::fs::File::open(path).with_context(context)?;
        let changed = file.metadata().and_then(|meta| meta.modified()).with_context(context)?;
        let mut text = Vec::new();
        file.take(MAX_BYTES).read_to_end(&mut text).with_context(context)?;
        let written = serde_json::from_slice(&text)
            .with_context(|| format!("`{name}` is no status file of a listener (`statusFile` of the filter)"))?;
        let seconds = |from: SystemTime| now.duration_since(from).unwrap_or_default().as_secs();
        let Written { since, .. } = written;
        let age = since.and_then(|since| UNIX_EPOCH.checked_add(Duration::from_secs(since))).map(seconds);
        let stale = Some(seconds(changed)).filter(|age| *age > STALE);
        Ok(Self { file: name, written, age, stale })
    }

    pub(super) fn is_well(&self) -> bool {
        self.written.status == "ok" && self.stale.is_none() && self.written.break_glass.is_none()
    }

    /// What somebody should look at.
    pub(super) fn remark(&self) -> String {
        let Written { error, held, break_glass, .. } = &self.written;
        let parts = [
            error.clone(),
            (!held.is_empty()).then(|| format!("held back: {}", held.join(", "))),
            break_glass.as_ref().map(|until| format!("the glass is broken until {until}")),
            self.stale.map(|age| format!("not written for {}: does the listener run?", span(age))),
        ];
        // Errors have several lines, and are shown as one, with nothing in it that could steer a terminal.
        let text = parts.into_iter().flatten().collect::<Vec<_>>().join("; ").replace('\n', " ");
        let mut shown = String::new();
        for character in text.chars() {
            if character.is_control() { shown.extend(character.escape_default()) } else { shown.push(character) }
        }
        shown
    }
}

/// A time in the largest unit of which there are at least two.
pub(super) fn span(seconds: u64) -> String {
    match seconds {
        0..=119 => format!("{seconds} s"),
        120..=7199 => format!("{} min", seconds / 60),
        7200..=172_799 => format!("{} h", seconds / 3600),
        _ => format!("{} d", seconds / 86_400),
    }
}

/// Bytes of a status file at most. Its errors are twenty at most, of some lines each.
const MAX_BYTES: u64 = 1 << 20;

/// Listeners write every ten seconds at least.
const STALE: u64 = 30;
