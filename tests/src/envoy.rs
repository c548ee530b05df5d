//! A real Envoy as a host of scenarios: one listener for each, a scripted client before it and a scripted server behind it.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use portcullis_proxylib::{OnParseError, Registry};
use portcullis_proxylib::testing::{CoreHost, Cut, Host, Observed, Scenario, Step};
use serde_json::{Value, json};

/// How long anything may take that should take milliseconds.
const PATIENCE: Duration = Duration::from_secs(20);

const TYPE: &str = "type.googleapis.com/";

/// An Envoy that runs with a listener for each scenario.
pub struct EnvoyHost {
    registry: Registry,
    envoy: Child,
    folder: PathBuf,
    /// By the name of the scenario: the listener's port, the server behind it, and the number of its files.
    stages: HashMap<String, (u16, TcpListener, usize)>,
}

impl EnvoyHost {
    /// Starts an Envoy with the given module for the scenarios. Its files go below `folder`.
    ///
    /// # Errors
    /// Envoy does not start; what it said is in `envoy.log` of the folder.
    pub fn start(
        envoy: &Path,
        module: &Path,
        folder: &Path,
        registry: Registry,
        scenarios: &[&Scenario],
    ) -> Result<Self, String> {
        let told = |what: &str, error: std::io::Error| format!("{what}: {error}");
        fs::create_dir_all(folder).map_err(|error| told("folder", error))?;
        let mut servers = Vec::new();
        let (mut listeners, mut clusters) = (Vec::new(), Vec::new());
        for (number, scenario) in scenarios.iter().enumerate() {
            let server = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(|error| told("server", error))?;
            let port = server.local_addr().map_err(|error| told("server", error))?.port();
            listeners.push(listener(scenario, number, module, folder)?);
            clusters.push(cluster(number, port));
            servers.push((scenario.name.clone(), server, number));
        }
        let bootstrap = json!({
            "admin": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": 0}}},
            "static_resources": {"listeners": listeners, "clusters": clusters},
        });
        let config = folder.join("envoy.json");
        fs::write(&config, bootstrap.to_string()).map_err(|error| told("envoy.json", error))?;
        let log = File::create(folder.join("envoy.log")).map_err(|error| told("envoy.log", error))?;
        let admin = folder.join("admin");
        let child = Command::new(envoy)
            .args(["--concurrency", "1", "--disable-hot-restart", "--file-flush-interval-msec", "50", "-l", "warning"])
            .arg("--admin-address-path")
            .arg(&admin)
            .arg("-c")
            .arg(&config)
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .map_err(|error| told("envoy", error))?;
        let mut host = Self { registry, envoy: child, folder: folder.to_owned(), stages: HashMap::new() };
        let ports = host.await_listeners(&admin, scenarios.len())?;
        for (name, server, number) in servers {
            let port = *ports.get(&format!("s{number}")).ok_or("a listener has no port")?;
            host.stages.insert(name, (port, server, number));
        }
        Ok(host)
    }

    fn await_listeners(&mut self, admin: &Path, count: usize) -> Result<HashMap<String, u16>, String> {
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            if let Ok(Some(status)) = self.envoy.try_wait() {
                let said = fs::read_to_string(self.folder.join("envoy.log")).unwrap_or_default();
                return Err(format!("envoy ended with {status}: {said}"));
            }
            let ports = fs::read_to_string(admin).ok().and_then(|address| listener_ports(address.trim()));
            match ports {
                Some(ports) if ports.len() == count => return Ok(ports),
                _ => thread::sleep(Duration::from_millis(50)),
            }
        }
        Err("envoy does not listen in time".to_owned())
    }
}

impl Drop for EnvoyHost {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.envoy.kill();
        let _ = self.envoy.wait();
    }
}

impl Host for EnvoyHost {
    fn play(&mut self, scenario: &Scenario, cut: Cut) -> Result<Observed, String> {
        let (port, server, number) =
            self.stages.get(&scenario.name).ok_or("a scenario that Envoy was not started for")?;
        let access = self.folder.join(format!("{number}.access.jsonl"));
        let ends = self.folder.join(format!("{number}.ends.log"));
        let (access_before, ends_before) = (length(&access), length(&ends));

        let failed = |what: &'static str| move |error: std::io::Error| format!("{what}: {error}");
        let client = TcpStream::connect((Ipv4Addr::LOCALHOST, *port)).map_err(failed("connect"))?;
        let (upstream, _) = server.accept().map_err(failed("accept"))?;
        let mut client = Side::new(client)?;
        let mut upstream = Side::new(upstream)?;
        for (played, step) in scenario.steps.iter().enumerate() {
            match step {
                Step::Client(bytes) => client.send(&cut.apply(&bytes.0)),
                Step::Server(bytes) => upstream.send(&cut.apply(&bytes.0)),
                Step::ClientEnd(()) => client.end(),
                Step::ServerEnd(()) => upstream.end(),
            }
            // The next step may only begin when this one has had its effect, as the core knows it.
            let mut so_far = scenario.clone();
            so_far.steps.truncate(played + 1);
            let due = CoreHost::new(self.registry).play(&so_far, Cut::Whole)?;
            await_bytes(&mut client, &mut upstream, due.to_client.len(), due.to_server.len());
        }
        if scenario.expect.closed.is_some() {
            await_until(|| client.read() && client.ended);
        }
        drop((client.stream, upstream.stream));

        let mut seen = Observed { to_server: upstream.received, to_client: client.received, ..Observed::default() };
        await_until(|| length(&ends) > ends_before);
        let end = tail(&ends, ends_before);
        seen.closed = Some(end.trim().to_owned()).filter(|reason| reason.starts_with("portcullis_"));
        let wanted = scenario.expect.log.len();
        await_until(|| {
            seen.log =
                tail(&access, access_before).lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
            let told = seen.log.iter().filter(|line| {
                scenario.expect.log_requests || (line["verdict"] != "forwarded" && line["verdict"] != "reply")
            });
            scenario.expect.ignore_log || told.count() >= wanted
        });
        Ok(seen)
    }
}

/// One end of a connection.
struct Side {
    stream: TcpStream,
    received: Vec<u8>,
    ended: bool,
}

impl Side {
    fn new(stream: TcpStream) -> Result<Self, String> {
        stream.set_nodelay(true).map_err(|error| error.to_string())?;
        stream.set_read_timeout(Some(Duration::from_millis(1))).map_err(|error| error.to_string())?;
        Ok(Self { stream, received: Vec::new(), ended: false })
    }

    /// Sends each event in a write of its own. Whoever closed before has no use for it.
    fn send(&mut self, events: &[Vec<&[u8]>]) {
        for pieces in events {
            if self.stream.write_all(&pieces.concat()).is_err() {
                return;
            }
        }
    }

    fn end(&self) {
        // The other side may be gone already.
        let _ = self.stream.shutdown(Shutdown::Write);
    }

    /// Takes what is there. Always true, to be used in conditions.
    fn read(&mut self) -> bool {
        let mut buffer = [0; 1 << 16];
        loop {
            match self.stream.read(&mut buffer) {
                Ok(0) => self.ended = true,
                Ok(count) => {
                    self.received.extend_from_slice(buffer.get(..count).unwrap_or_default());
                    continue;
                }
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                Err(_) => self.ended = true,
            }
            return true;
        }
    }
}

fn await_bytes(client: &mut Side, upstream: &mut Side, to_client: usize, to_server: usize) {
    await_until(|| {
        client.read();
        upstream.read();
        client.received.len() >= to_client && upstream.received.len() >= to_server
    });
}

/// Waits for a condition, with patience. What was not met in time shows in what is compared afterwards.
fn await_until(mut condition: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !condition() && begun.elapsed() < PATIENCE {
        thread::sleep(Duration::from_millis(1));
    }
}

fn length(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |found| found.len())
}

fn tail(path: &Path, from: u64) -> String {
    let bytes = fs::read(path).unwrap_or_default();
    let from = usize::try_from(from).unwrap_or(usize::MAX);
    String::from_utf8_lossy(bytes.get(from..).unwrap_or_default()).into_owned()
}

fn listener_ports(admin: &str) -> Option<HashMap<String, u16>> {
    let mut stream = TcpStream::connect(admin).ok()?;
    stream.write_all(b"GET /listeners?format=json HTTP/1.1\r\nhost: admin\r\nconnection: close\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let body = answer.get(answer.find('{')?..=answer.rfind('}')?)?;
    let body: Value = serde_json::from_str(body).ok()?;
    let port = |status: &Value| {
        let port = status["local_address"]["socket_address"]["port_value"].as_u64()?;
        Some((status["name"].as_str()?.to_owned(), u16::try_from(port).ok()?))
    };
    body["listener_statuses"].as_array()?.iter().map(port).collect()
}

fn listener(scenario: &Scenario, number: usize, module: &Path, folder: &Path) -> Result<Value, String> {
    let identities = folder.join(format!("{number}.identities.json"));
    let known = match &scenario.remote {
        labels if labels.is_empty() => json!([]),
        labels => json!([{"address": "127.0.0.1", "labels": labels}]),
    };
    fs::write(&identities, json!({"identities": known}).to_string()).map_err(|error| error.to_string())?;
    let mut limits = json!({});
    if scenario.limits != Default::default() {
        limits["maxFrameBytes"] = json!(scenario.limits.max_frame_bytes);
        limits["frameTimeoutSeconds"] = json!(scenario.limits.frame_timeout_seconds);
    }
    let config = json!({
        "protocol": scenario.protocol,
        "protocolConfig": scenario.config,
        "policy": {"inline": scenario.policy_text()},
        "endpoint": {"labels": scenario.endpoint},
        "direction": if scenario.egress { "egress" } else { "ingress" },
        "port": scenario.port,
        "identities": identities,
        "limits": limits,
        "onParseError": if scenario.on_parse_error == OnParseError::Passthrough { "passthrough" } else { "close" },
        "accessLog": {"path": folder.join(format!("{number}.access.jsonl")), "level": "requests"},
    });
    let filter = json!({
        "name": "portcullis",
        "typed_config": {
            "@type": format!("{TYPE}envoy.extensions.filters.network.dynamic_modules.v3.DynamicModuleNetworkFilter"),
            "dynamic_module_config": {
                "module": {"local": {"filename": module}}, "do_not_close": true, "metrics_namespace": "portcullis",
            },
            "filter_name": "portcullis",
            "filter_config": {"@type": format!("{TYPE}google.protobuf.StringValue"), "value": config.to_string()},
        },
    });
    let log = json!({
        "name": "envoy.access_loggers.file",
        "typed_config": {
            "@type": format!("{TYPE}envoy.extensions.access_loggers.file.v3.FileAccessLog"),
            "path": folder.join(format!("{number}.ends.log")),
            "log_format": {"text_format_source": {"inline_string": "%CONNECTION_TERMINATION_DETAILS%\n"}},
        },
    });
    let proxy = json!({
        "name": "envoy.filters.network.tcp_proxy",
        "typed_config": {
            "@type": format!("{TYPE}envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy"),
            "stat_prefix": "scenario", "cluster": format!("s{number}"), "access_log": [log],
        },
    });
    Ok(json!({
        "name": format!("s{number}"),
        "address": {"socket_address": {"address": "127.0.0.1", "port_value": 0}},
        "filter_chains": [{"filters": [filter, proxy]}],
    }))
}

fn cluster(number: usize, port: u16) -> Value {
    let address = json!({"address": {"socket_address": {"address": "127.0.0.1", "port_value": port}}});
    json!({
        "name": format!("s{number}"),
        "type": "STATIC",
        "load_assignment": {
            "cluster_name": format!("s{number}"),
            "endpoints": [{"lb_endpoints": [{"endpoint": address}]}],
        },
    })
}
