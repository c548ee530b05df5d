//! Our metrics, as Envoy's admin endpoint gives them to Prometheus.

use std::collections::BTreeMap;
use std::io::Read;
use std::time::Duration;

use anyhow::Context;

use super::log::plain;

/// The values of each protocol, by the names of `portcullis.<protocol>.<name>`, dots as underscores.
pub(super) type Metrics = BTreeMap<String, BTreeMap<String, u64>>;

/// Reads metrics from a URL, or from a file.
pub(super) fn load(from: &str) -> anyhow::Result<Metrics> {
    let text = if from.starts_with("http://") {
        let config = ureq::Agent::config_builder().timeout_global(Some(PATIENCE)).build();
        let agent = ureq::Agent::new_with_config(config);
        let answer = agent
            .get(from)
            .call()
            .and_then(|mut answer| answer.body_mut().with_config().limit(MAX_BYTES).lossy_utf8(true).read_to_string());
        answer.with_context(|| format!("`{from}` does not answer with metrics"))?
    } else if from.starts_with("https://") {
        anyhow::bail!("`{from}`: Envoy's admin endpoint speaks plain `http://`");
    } else {
        let mut text = Vec::new();
        let file = std::fs::File::open(from).with_context(|| format!("`{from}` cannot be read"))?;
        file.take(MAX_BYTES).read_to_end(&mut text).with_context(|| format!("`{from}` cannot be read"))?;
        String::from_utf8_lossy(&text).into_owned()
    };
    let metrics = read(&text);
    anyhow::ensure!(
        !metrics.is_empty(),
        "`{from}` has no metric of ours: name Envoy's `/stats/prometheus`, and a listener with the filter"
    );
    Ok(metrics)
}

/// Reads the text format of Prometheus. With `stats_tags` the protocol and the verdict are labels, without they are in the name.
fn read(text: &str) -> Metrics {
    let mut metrics = Metrics::new();
    for line in text.lines() {
        let line = line.trim();
        let Some(rest) = line.strip_prefix("envoy_").unwrap_or(line).strip_prefix("portcullis_") else { continue };
        let Some((series, value)) = rest.rsplit_once(' ') else { continue };
        let Some(value) = value.parse::<f64>().ok().filter(|value| *value >= 0.0) else { continue };
        let (name, labels) = series.split_once('{').unwrap_or((series, ""));
        let (protocol, name) = match (label(labels, "l7proto"), label(labels, "verdict")) {
            (Some(protocol), Some(verdict)) => (protocol, format!("{verdict}_{name}")),
            (Some(protocol), None) => (protocol, name.to_owned()),
            (None, _) => {
                let known =
                    NAMES.iter().filter_map(|known| Some((name.strip_suffix(known)?.strip_suffix('_')?, *known)));
                let Some((protocol, known)) = known.max_by_key(|(_, known)| known.len()) else { continue };
                (protocol, known.to_owned())
            }
        };
        let protocol = plain(protocol);
        if metrics.len() >= MAX_PROTOCOLS && !metrics.contains_key(&protocol) {
            continue;
        }
        let values = metrics.entry(protocol).or_default();
        if NAMES.contains(&name.as_str()) {
            let sum = values.entry(name).or_default();
            // Numbers of Prometheus are floating, ours are whole.
            *sum = sum.saturating_add(value as u64);
        }
    }
    metrics
}

fn label<'a>(labels: &'a str, name: &str) -> Option<&'a str> {
    labels.trim_end_matches('}').split(',').find_map(|pair| {
        let value = pair.trim().strip_prefix(name)?.strip_prefix('=')?;
        value.strip_prefix('"')?.strip_suffix('"')
    })
}

/// The metrics of a listener, as they end.
const NAMES: &[&str] = &[
    "forwarded_requests",
    "denied_requests",
    "audit_requests",
    "errors",
    "panics",
    "connections",
    "connections_active",
    "policy_generation",
    "policy_reloads",
    "policy_errors",
    "policy_age_seconds",
    "policy_bad",
    "break_glass",
    "log_lost",
    "held_bytes",
];

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(3);

/// Bytes of metrics at most: an Envoy with ten thousand clusters has less.
const MAX_BYTES: u64 = 64 << 20;

/// Protocols at most.
const MAX_PROTOCOLS: usize = 100;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_of_names_are_read() {
        let tagged = "# TYPE envoy_portcullis_requests counter\n\
            envoy_portcullis_requests{l7proto=\"memcache\",verdict=\"denied\"} 3\n\
            envoy_portcullis_requests{envoy_x=\"y\",l7proto=\"memcache\",verdict=\"forwarded\"} 2\n\
            envoy_portcullis_connections_active{l7proto=\"memcache\"} 1\n\
            envoy_portcullis_policy_hash{l7proto=\"memcache\"} 1.2e19\n\
            envoy_cluster_upstream{x=\"1\"} 7\n";
        let plain = "envoy_portcullis_memcache_denied_requests{} 3\n\
            envoy_portcullis_memcache_forwarded_requests{} 2\n\
            envoy_portcullis_memcache_connections_active{} 1\n";
        let wanted = [("connections_active", 1), ("denied_requests", 3), ("forwarded_requests", 2)];
        let wanted: BTreeMap<_, _> = wanted.map(|(name, value)| (name.to_owned(), value)).into();
        for text in [tagged, plain] {
            assert_eq!(read(text), Metrics::from([("memcache".to_owned(), wanted.clone())]), "{text}");
        }
        assert!(read("portcullis_ nan\nportcullis_x{ -1\nenvoy_portcullis_requests{l7proto=\"} 5").is_empty());
    }
}
