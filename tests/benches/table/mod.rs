//! All that was measured in one table: what Criterion prints is one estimate a page.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde_json::Value;

/// The measurements of one run.
pub(crate) struct Table {
    began: SystemTime,
    rows: Vec<Row>,
}

struct Row {
    group: String,
    name: String,
    /// How many requests one iteration plays.
    requests: u64,
    /// The row of the same group that this one is compared with.
    base: Option<String>,
}

impl Table {
    /// An empty table.
    pub(crate) fn new() -> Self {
        Self { began: SystemTime::now(), rows: Vec::new() }
    }

    /// Where Criterion is to put its estimates.
    pub(crate) fn folder(&self) -> PathBuf {
        Path::new(env!("CARGO_TARGET_TMPDIR")).join("criterion")
    }

    /// Adds a row for a measurement by its group and name.
    pub(crate) fn add(&mut self, [group, name]: [&str; 2], requests: u64) {
        self.rows.push(Row { group: group.to_owned(), name: name.to_owned(), requests, base: None });
    }

    /// Shows the last row also as a multiple of another one of its group.
    pub(crate) fn compare_last(&mut self, base: &str) {
        if let Some(row) = self.rows.last_mut() {
            row.base = Some(base.to_owned());
        }
    }

    /// Prints the rows that were measured in this run. Returns whether that was all of them.
    pub(crate) fn print(&self) -> bool {
        let mut all = true;
        println!("\n{:<50} {:>14} {:>20}", "", "ns per request", "95 % confidence");
        for Row { group, name, requests, base } in &self.rows {
            let Some([low, median, high]) = self.read(group, name) else {
                all = false;
                continue;
            };
            let each = |estimate: f64| estimate / *requests as f64;
            let interval = format!("{:.1} to {:.1}", each(low), each(high));
            let ratio = base.as_deref().and_then(|base| self.read(group, base)).map(|[_, base, _]| median / base);
            let ratio = ratio.map(|ratio| format!("   x {ratio:.2}")).unwrap_or_default();
            println!("{:<50} {:>14.1} {interval:>20}{ratio}", format!("{group}: {name}"), each(median));
        }
        println!();
        all
    }

    /// Nanoseconds of an iteration: the median within its confidence interval.
    fn read(&self, group: &str, name: &str) -> Option<[f64; 3]> {
        let path = self.folder().join(group).join(name).join("new/estimates.json");
        // A measurement that the arguments left out this time may have its estimates there from the last.
        let fresh = path.metadata().and_then(|metadata| metadata.modified()).is_ok_and(|written| written >= self.began);
        let estimates: Value = serde_json::from_slice(&fs::read(path).ok()?).ok()?;
        let median = estimates.get("median").filter(|_| fresh)?;
        let interval = median.get("confidence_interval")?;
        Some([
            interval.get("lower_bound")?.as_f64()?,
            median.get("point_estimate")?.as_f64()?,
            interval.get("upper_bound")?.as_f64()?,
        ])
    }
}
