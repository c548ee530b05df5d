//! `portcullis admission audit` of an API server: paging, what cannot be listed, statuses.
#![expect(clippy::expect_used, clippy::indexing_slicing, reason = "tests fail by panicking")]

mod common;

use std::collections::HashMap;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::thread;

use common::{Ran, portcullis, repository};
use serde_json::{Value, json};

/// What was asked: method, path with its query, body.
type Asked = (String, String, String);

/// An API server of answers by method and path; it keeps what it was asked.
struct Server {
    port: u16,
    asked: Arc<Mutex<Vec<Asked>>>,
    dir: tempfile::TempDir,
}

type Answers = HashMap<String, (u16, String)>;

impl Server {
    fn start(answers: Answers) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (seen, answers) = (Arc::clone(&asked), Arc::new(answers));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (seen, answers) = (Arc::clone(&seen), Arc::clone(&answers));
                thread::spawn(move || serve(stream, &answers, &seen));
            }
        });
        let dir = tempfile::tempdir().expect("a directory");
        let config = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "here",
            "clusters": [{"name": "here", "cluster": {"server": format!("http://127.0.0.1:{port}")}}],
            "contexts": [{"name": "here", "context": {"cluster": "here", "user": "me"}}],
            "users": [{"name": "me", "user": {"token": "secret-token"}}],
        });
        fs::write(dir.path().join("kubeconfig"), config.to_string()).expect("written");
        Self { port, asked, dir }
    }

    fn audit(&self, args: &[&str]) -> Ran {
        let config = self.dir.path().join("kubeconfig");
        let fixed = ["admission", "audit", "--kubeconfig", config.to_str().expect("a path"), "--timeout", "20"];
        portcullis(&data(), &[&fixed, args, &["policies"]].concat())
    }

    fn asked(&self, method: &str, path: &str) -> Vec<Asked> {
        let all = self.asked.lock().expect("a lock");
        all.iter().filter(|asked| asked.0 == method && asked.1.starts_with(path)).cloned().collect()
    }
}

fn data() -> PathBuf {
    repository("cli/tests/data/gatekeeper/audit")
}

fn serve(mut stream: TcpStream, answers: &Answers, seen: &Mutex<Vec<Asked>>) {
    let mut reader = BufReader::new(stream.try_clone().expect("a stream"));
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).unwrap_or(0) == 0 {
            return;
        }
        let mut words = line.split_whitespace();
        let (method, path) = (words.next().unwrap_or_default().to_owned(), words.next().unwrap_or_default().to_owned());
        let (mut length, mut authorized) = (0, false);
        loop {
            let mut header = String::new();
            reader.read_line(&mut header).expect("a header");
            let header = header.trim_end().to_ascii_lowercase();
            if header.is_empty() {
                break;
            }
            if let Some(value) = header.strip_prefix("content-length:") {
                length = value.trim().parse().expect("a number");
            }
            authorized |= header == "authorization: bearer secret-token";
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).expect("a body");
        let body = String::from_utf8(body).expect("UTF-8");
        seen.lock().expect("a lock").push((method.clone(), path.clone(), body));
        let missing =
            (404, json!({"kind": "Status", "status": "Failure", "message": "there is none", "code": 404}).to_string());
        let (status, text) = match authorized {
            true => answers.get(&format!("{method} {path}")).unwrap_or(&missing).clone(),
            false => (401, "{}".to_owned()),
        };
        let head =
            format!("HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n", text.len());
        if stream.write_all(format!("{head}{text}").as_bytes()).is_err() {
            return;
        }
    }
}

fn resource(name: &str, kind: &str, verbs: &[&str]) -> Value {
    json!({"name": name, "kind": kind, "namespaced": true, "singularName": "", "verbs": verbs})
}

/// A cluster with namespaces in pages of two, and one violation in each.
fn cluster() -> Answers {
    let mut answers = Answers::new();
    let mut add = |path: &str, answer: Value| answers.insert(format!("GET {path}"), (200, answer.to_string()));
    let all = &["get", "list", "watch", "patch"];
    add("/api", json!({"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": []}));
    add(
        "/api/v1",
        json!({"kind": "APIResourceList", "groupVersion": "v1", "resources": [
        resource("namespaces", "Namespace", all), resource("namespaces/status", "Namespace", &["get"]), resource("pods", "Pod", all),
        resource("bindings", "Binding", &["create"])]}),
    );
    let group = |name: &str, versions: &[&str]| {
        let versions: Vec<_> = versions
            .iter()
            .map(|version| json!({"groupVersion": format!("{name}/{version}"), "version": version}))
            .collect();
        json!({"name": name, "versions": versions, "preferredVersion": versions[0]})
    };
    add(
        "/apis",
        json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": [
        group("apps", &["v1", "v1beta1"]), group("networking.k8s.io", &["v1"]), group("constraints.gatekeeper.sh", &["v1beta1"])]}),
    );
    let list = |version: &str, resources: Value| json!({"kind": "APIResourceList", "groupVersion": version, "resources": resources});
    add("/apis/apps/v1", list("apps/v1", json!([resource("deployments", "Deployment", all)])));
    add("/apis/apps/v1beta1", list("apps/v1beta1", json!([resource("deployments", "Deployment", all)])));
    add("/apis/networking.k8s.io/v1", list("networking.k8s.io/v1", json!([resource("ingresses", "Ingress", all)])));
    add(
        "/apis/constraints.gatekeeper.sh/v1beta1",
        list(
            "constraints.gatekeeper.sh/v1beta1",
            json!([resource("teamlabels", "TeamLabels", all), resource("uniquehosts", "UniqueHosts", all)]),
        ),
    );
    let namespace = |name: &str, labels: Value| json!({"metadata": {"name": name, "labels": labels}});
    let page = |items: Value, next: Option<&str>| json!({"kind": "NamespaceList", "apiVersion": "v1", "metadata": {"continue": next}, "items": items});
    let production = json!({"stage": "production"});
    let mut patches = Vec::new();
    for size in [2, 500] {
        let path = format!("/api/v1/namespaces?&limit={size}");
        add(&path, page(json!([namespace("a", json!({})), namespace("b", json!({}))]), Some("next page")));
        add(&format!("{path}&continue=next+page"), page(json!([namespace("c", production.clone())]), None));
        add(
            &format!("/apis/apps/v1/deployments?&limit={size}"),
            json!({"kind": "DeploymentList", "apiVersion": "apps/v1", "metadata": {}, "items": [
            {"metadata": {"name": "web", "namespace": "c"}}, {"metadata": {"name": "web", "namespace": "a"}}]}),
        );
        let ingress = |name: &str| json!({"metadata": {"name": name, "namespace": "c"}, "spec": {"rules": [{"host": "shop.example.com"}]}});
        add(
            &format!("/apis/networking.k8s.io/v1/ingresses?&limit={size}"),
            json!({"kind": "IngressList", "apiVersion": "networking.k8s.io/v1",
            "metadata": {}, "items": [ingress("one"), ingress("two")]}),
        );
    }
    for (plural, kind, name) in [
        ("teamlabels", "TeamLabels", "owned"),
        ("teamlabels", "TeamLabels", "tiers-in-production"),
        ("uniquehosts", "UniqueHosts", "one-owner"),
    ] {
        let path = format!("/apis/constraints.gatekeeper.sh/v1beta1/{plural}/{name}");
        let pods = json!([{"id": "gatekeeper-0", "enforced": true, "observedGeneration": 3}, {"id": "auditor", "enforced": false}]);
        let known = json!({"kind": kind, "metadata": {"name": name}, "status": {"byPod": pods, "violations": [{"name": "old"}]}});
        add(&path, known);
        patches.push(format!("PATCH {path}/status?"));
    }
    answers.extend(patches.into_iter().map(|path| (path, (200, "{}".to_owned()))));
    answers
}

#[test]
fn all_pages_are_judged() {
    let server = Server::start(cluster());
    let ran = server.audit(&["-o", "json", "--page-size", "2"]);
    let json: Value = serde_json::from_str(&ran.stdout)
        .unwrap_or_else(|_| Value::from(format!("{ran:?} {:?}", server.asked("GET", "/"))));
    assert_eq!((ran.status, &json["errors"]), (1, &json!([])), "{json:#} {:#?}", server.asked("GET", "/"));
    let total =
        |at: usize| (json["constraints"][at]["name"].clone(), json["constraints"][at]["totalViolations"].clone());
    assert_eq!(
        [total(0), total(1), total(2)],
        [(json!("owned"), json!(3)), (json!("tiers-in-production"), json!(1)), (json!("one-owner"), json!(2))]
    );
    assert_eq!(
        json["constraints"][1]["violations"][0],
        json!({"group": "apps", "version": "v1", "kind": "Deployment", "namespace": "c",
        "name": "web", "message": "the label <tier> is missing", "enforcementAction": "dryrun"})
    );
    // No constraint speaks of pods, and a kind is listed in one version.
    assert!(
        server.asked("GET", "/api/v1/pods").is_empty()
            && server.asked("GET", "/apis/apps/v1beta1/deployments").is_empty()
    );
    assert!(server.port > 0 && server.asked("PATCH", "/").is_empty());
}

#[test]
fn statuses_are_patched() {
    let server = Server::start(cluster());
    let ran = server.audit(&["--write-status", "--id", "auditor", "--limit", "2"]);
    assert_eq!((ran.status, ran.stderr.as_str()), (1, ""), "{ran:?} {:?}", server.asked("GET", "/apis/constraints"));
    let patches = server.asked("PATCH", "/apis/constraints.gatekeeper.sh/v1beta1/");
    assert_eq!(patches.len(), 3, "{patches:?}");
    let (_, path, body) = &patches[0];
    assert!(path.starts_with("/apis/constraints.gatekeeper.sh/v1beta1/teamlabels/owned/status"), "{path}");
    let status = &serde_json::from_str::<Value>(body).expect("JSON")["status"];
    assert_eq!(status["totalViolations"], 3, "{status:#}");
    assert_eq!(
        status["byPod"],
        json!([{"id": "gatekeeper-0", "enforced": true, "observedGeneration": 3}, {"id": "auditor", "enforced": true}])
    );
    assert_eq!(status["violations"].as_array().map(Vec::len), Some(2), "{status:#}");
    let first = json!({"group": "", "version": "v1", "kind": "Namespace", "name": "a", "message": "the label <team> is missing", "enforcementAction": "deny"});
    assert_eq!(status["violations"][0], first);
    assert_eq!(status["auditTimestamp"].as_str().map(str::len), Some(20), "{status:#}");
}

#[test]
fn violations_that_are_gone_are_removed() {
    let mut answers = cluster();
    for size in [2, 500] {
        let path = format!("GET /apis/networking.k8s.io/v1/ingresses?&limit={size}");
        let none = json!({"kind": "IngressList", "apiVersion": "networking.k8s.io/v1", "metadata": {}, "items": []});
        answers.insert(path, (200, none.to_string()));
    }
    let server = Server::start(answers);
    server.audit(&["--write-status"]);
    let patches = server.asked("PATCH", "/apis/constraints.gatekeeper.sh/v1beta1/uniquehosts/one-owner/status");
    let body: Value = serde_json::from_str(&patches[0].2).expect("JSON");
    assert_eq!((&body["status"]["violations"], &body["status"]["totalViolations"]), (&Value::Null, &json!(0)));
    assert!(body["status"].as_object().is_some_and(|status| status.contains_key("violations")), "{body:#}");
}

/// What cannot be listed is told, with what the rest comes to; nothing is written that would say more than is known.
#[test]
fn what_cannot_be_listed_is_told() {
    let forbidden = json!({"kind": "Status", "status": "Failure", "message": "you may not list them", "reason": "Forbidden", "code": 403}).to_string();
    let deployments = "GET /apis/apps/v1/deployments?&limit=500";
    let second_page = "GET /api/v1/namespaces?&limit=500&continue=next+page";
    let same_again =
        json!({"kind": "NamespaceList", "apiVersion": "v1", "metadata": {"continue": "next page"}, "items": []})
            .to_string();
    let faults = [
        (deployments, (403, forbidden), "deployments.apps: the API server answers 403: you may not list them"),
        (deployments, (200, "{\"items\": [".to_owned()), "deployments.apps: the list cannot be read"),
        (deployments, (200, "{}".to_owned()), "deployments.apps: the answer is no list"),
        (deployments, (200, json!({"kind": "DeploymentList", "items": [1]}).to_string()), "this is no object"),
        (second_page, (410, "{}".to_owned()), "namespaces: the API server answers 410"),
        (second_page, (200, same_again), "says twice that the same page is the next"),
        ("GET /apis/apps/v1", (500, "{}".to_owned()), "the kinds of `apps/v1` are not known"),
    ];
    for (path, answer, wanted) in faults {
        let mut answers = cluster();
        answers.insert(path.to_owned(), answer);
        let server = Server::start(answers);
        let inventory = server.dir.path().join("inventory");
        let ran = server.audit(&["--write-status", "--write-inventory", inventory.to_str().expect("a path")]);
        assert!(ran.status == 3 && ran.stderr.contains(wanted), "{path}: {ran:?}");
        assert!(ran.stdout.contains(" constraints: "), "{path}: {ran:?}");
        assert!(server.asked("PATCH", "/").is_empty() && !inventory.exists(), "{path}: {ran:?}");
    }
}

/// "410 ResourceExpired [...] together with a continue token": the rest of the list as it is by now.
#[test]
fn a_list_that_has_expired_goes_on() {
    let mut answers = cluster();
    let path = "GET /api/v1/namespaces?&limit=500&continue=";
    let expired = json!({"kind": "Status", "code": 410, "reason": "Expired", "metadata": {"continue": "by-now"}});
    let rest = answers.get(&format!("{path}next+page")).expect("a page").clone();
    answers.insert(format!("{path}next+page"), (410, expired.to_string()));
    answers.insert(format!("{path}by-now"), rest);
    let ran = Server::start(answers).audit(&["-o", "json"]);
    let json: Value = serde_json::from_str(&ran.stdout).expect("JSON");
    assert_eq!(
        (ran.status, &json["errors"], &json["constraints"][0]["totalViolations"]),
        (1, &json!([]), &json!(3)),
        "{json:#}"
    );
}

#[test]
fn a_constraint_that_is_not_there_is_told() {
    let mut answers = cluster();
    answers.remove("GET /apis/constraints.gatekeeper.sh/v1beta1/uniquehosts/one-owner");
    let server = Server::start(answers);
    let ran = server.audit(&["--write-status"]);
    assert!(
        ran.status == 3
            && ran
                .stderr
                .contains("the status of UniqueHosts `one-owner` cannot be written: the API server answers 404"),
        "{ran:?}"
    );
    assert_eq!(server.asked("PATCH", "/").len(), 2);
}

#[test]
fn a_server_that_is_not_there_is_told() {
    let server = Server::start(Answers::new());
    let ran = server.audit(&[]);
    assert!(ran.status == 3 && ran.stdout.is_empty() && ran.stderr.contains("cannot be asked what it has"), "{ran:?}");
    let config = server.dir.path().join("kubeconfig");
    let text = fs::read_to_string(&config).expect("a kubeconfig").replace(&server.port.to_string(), "1");
    fs::write(&config, text).expect("written");
    let ran = server.audit(&[]);
    assert!(ran.status == 3 && ran.stdout.is_empty(), "{ran:?}");
    assert!(!ran.stderr.contains("secret-token"), "{ran:?}");
}
