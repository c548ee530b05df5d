//! Plays scenarios through the exports of the module under test.

use std::fs;
use std::path::Path;

use portcullis_proxylib::OnParseError;
use portcullis_proxylib::testing::{Cut, Host, Observed, Scenario, Step};
use serde_json::{Value, json};

use crate::callbacks::SOURCE;
use crate::{Connection, Listener, State};

/// Plays scenarios on the module that the test exports.
#[derive(Debug, Default)]
pub struct MockHost;

impl Host for MockHost {
    fn play(&mut self, scenario: &Scenario, cut: Cut) -> Result<Observed, String> {
        let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
        let log = folder.path().join("access.jsonl");
        let listener = Listener::open(&configure(scenario, folder.path(), &log)?)?;
        let connection = listener.connect();
        for step in &scenario.steps {
            play_step(&connection, step, cut);
        }
        if scenario.expect.closed.is_some() && connection.state() == State::Open {
            // A close that is under way waits for both sides, and lets nothing pass any more.
            connection.client_last(b"").server_last(b"");
        }
        let mut observed = Observed {
            to_server: connection.to_server(),
            to_client: connection.to_client(),
            closed: connection.closed_with(),
            log: Vec::new(),
        };
        connection.finish();
        let held = listener.metric(&format!("{}.held_bytes", scenario.protocol));
        if held != 0 {
            return Err(format!("{held} bytes of the budget were not given back"));
        }
        // With the last listener goes the writer of the log, which first writes what there is.
        drop(listener);
        let text = fs::read_to_string(log).map_err(|error| error.to_string())?;
        observed.log = text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        Ok(observed)
    }
}

fn play_step(connection: &Connection, step: &Step, cut: Cut) {
    match step {
        Step::Client(bytes) => {
            for pieces in cut.apply(&bytes.0) {
                connection.client_pieces(&pieces);
            }
        }
        Step::Server(bytes) => {
            for pieces in cut.apply(&bytes.0) {
                connection.server_pieces(&pieces);
            }
        }
        Step::ClientEnd(()) => _ = connection.client_last(b""),
        Step::ServerEnd(()) => _ = connection.server_last(b""),
    }
}

fn configure(scenario: &Scenario, folder: &Path, log: &Path) -> Result<String, String> {
    let mut config = json!({
        "protocol": scenario.protocol,
        "policy": {"inline": scenario.policy_text()},
        "endpoint": {"labels": scenario.endpoint},
        "direction": if scenario.egress { "egress" } else { "ingress" },
        "port": scenario.port,
        "onParseError": match scenario.on_parse_error {
            OnParseError::Close => "close",
            OnParseError::Passthrough => "passthrough",
        },
        "limits": {
            "maxFrameBytes": scenario.limits.max_frame_bytes,
            "frameTimeoutSeconds": scenario.limits.frame_timeout_seconds,
            "heldBytes": scenario.limits.held_bytes,
        },
        "accessLog": {"path": log, "level": "responses"},
    });
    if scenario.config != Value::Null {
        config["protocolConfig"] = scenario.config.clone();
    }
    if !scenario.remote.is_empty() {
        let (address, _) = if scenario.egress { crate::callbacks::DESTINATION } else { SOURCE };
        let file = folder.join("identities.json");
        let identities = json!({"identities": [{"address": address, "labels": scenario.remote}]});
        fs::write(&file, identities.to_string()).map_err(|error| error.to_string())?;
        config["identities"] = json!(file);
    }
    Ok(config.to_string())
}
