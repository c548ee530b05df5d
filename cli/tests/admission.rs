//! `portcullis admission`: manifests, the tests in hooks, judgements of files. `PORTCULLIS_WRITE=1` writes what is expected anew.
#![expect(clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests fail by panicking")]

mod common;

use std::path::{Path, PathBuf};

use common::{Ran, portcullis, repository};
use portcullis_policy::{Node, Value};
use serde_json::Value as Json;

fn here() -> PathBuf {
    repository("cli/tests/admission")
}

fn admission(args: &[&str]) -> Ran {
    portcullis(&here(), &[&["admission"], args].concat())
}

/// The objects of a run, as other programs read them.
fn objects(args: &[&str]) -> Vec<Json> {
    let all = [&["manifests", "-o", "json"], args].concat();
    let ran = admission(&all);
    assert_eq!(ran.status, 0, "{ran:?}");
    let list: Json = serde_json::from_str(&ran.stdout).expect("JSON");
    assert_eq!((&list["apiVersion"], &list["kind"]), (&"v1".into(), &"List".into()));
    list["items"].as_array().expect("items").clone()
}

fn of_kind<'a>(objects: &'a [Json], kind: &str) -> &'a Json {
    objects.iter().find(|object| object["kind"] == kind).unwrap_or_else(|| panic!("no {kind}"))
}

/// What YAML says, read by the project's own reader.
fn read(node: &Node) -> Json {
    match &node.value {
        Value::Null => Json::Null,
        Value::Bool(value) => (*value).into(),
        Value::Integer(value) => (*value).into(),
        Value::Float(value) => (*value).into(),
        Value::Text(text) => text.as_str().into(),
        Value::List(items) => items.iter().map(read).collect(),
        Value::Map(entries) => {
            Json::Object(entries.iter().map(|entry| (entry.key.clone(), read(&entry.value))).collect())
        }
    }
}

fn read_all(text: &str) -> Vec<Json> {
    Node::load("written.yaml", text.as_bytes())
        .unwrap_or_else(|error| panic!("{error}\n{text}"))
        .iter()
        .map(read)
        .collect()
}

/// Compares with a file beside this one, or writes it.
fn compare(file: &str, text: &str) {
    let path = here().join(file);
    if std::env::var_os("PORTCULLIS_WRITE").is_some() {
        std::fs::write(&path, text).expect("written");
    }
    let wanted = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(wanted == text, "{file} is stale: run with `PORTCULLIS_WRITE=1`\n{text}");
}

const ALL: &[&str] = &["--ca-bundle", "ca.crt", "hooks"];

#[test]
fn manifests_for_the_cluster_are_as_expected() {
    let parts = ["manifests", "--only", "namespace,service,deployment,webhooks", "--exclude-namespace", "kube-system"];
    let ran = admission(&[&parts, ALL].concat());
    assert_eq!(ran.status, 0, "{ran:?}");
    // Changes with Envoy's configuration, which others test.
    let (head, tail) = ran.stdout.split_once("portcullis.dev/envoy-config: ").expect("a digest");
    let (digest, tail) = tail.split_once('\n').expect("a line");
    assert_eq!(digest.trim_matches('"').len(), 16, "{digest}");
    let text = format!("{head}portcullis.dev/envoy-config: DIGEST\n{tail}");
    compare("cluster.yaml", &text);
}

/// kubectl reads YAML 1.1 and our reader 1.2: what both forms of the output say is compared, and golden files are looked at.
#[test]
fn yaml_and_json_say_the_same() {
    let ran = admission(&[&["manifests"], ALL].concat());
    assert_eq!(read_all(&ran.stdout), objects(ALL));
}

#[test]
fn the_order_of_files_changes_nothing() {
    let run = |files: &[&str]| admission(&[&["manifests", "--ca-bundle", "ca.crt"], files].concat()).stdout;
    assert_eq!(run(&["hooks/pods.yaml", "hooks/team-label.yaml"]), run(&["hooks/team-label.yaml", "hooks/pods.yaml"]));
}

#[test]
fn the_webhook_does_not_judge_itself() {
    let webhook = |args: &[&str]| {
        let all = objects(&[args, &["--only", "webhooks"], ALL].concat());
        of_kind(&all, "ValidatingWebhookConfiguration")["webhooks"][0].clone()
    };
    let own = webhook(&["--namespace", "gate", "--exclude-label", "pipy/webhook=ignore", "--exclude-label", "quiet"]);
    assert_eq!(own["name"], "pods.policy.example.com");
    assert_eq!(own["namespaceSelector"]["matchLabels"], serde_json::json!({"yes": "on", "1.0": "1e3"}));
    assert_eq!(
        own["namespaceSelector"]["matchExpressions"],
        serde_json::json!([
            {"key": "kubernetes.io/metadata.name", "operator": "NotIn", "values": ["kube-system"]},
            {"key": "kubernetes.io/metadata.name", "operator": "NotIn", "values": ["gate"]},
            {"key": "pipy/webhook", "operator": "NotIn", "values": ["ignore"]},
            {"key": "quiet", "operator": "DoesNotExist"},
        ])
    );
    let judged = webhook(&["--judge-own-namespace"]);
    assert_eq!(judged["namespaceSelector"]["matchExpressions"].as_array().map(Vec::len), Some(1));
    let by_url = webhook(&["--url", "https://192.0.2.1:9443/", "--judge-own-namespace"]);
    assert_eq!(by_url["clientConfig"]["url"], "https://192.0.2.1:9443/v1/pods");
    assert!(by_url["clientConfig"]["service"].is_null());
}

#[test]
fn a_target_has_its_hooks_and_those_of_all() {
    let names = |target: &str| -> Vec<String> {
        let all = objects(&[&["--target", target, "--suffix", "hooks.example.com"], ALL].concat());
        let webhooks = all.iter().filter_map(|object| object["webhooks"].as_array()).flatten();
        let files = all.iter().filter(|object| object["metadata"]["name"] == "portcullis-admission-hooks-0");
        let files = files.filter_map(|object| object["data"].as_object()).flat_map(|data| data.keys().cloned());
        webhooks.map(|webhook| webhook["name"].as_str().unwrap_or_default().to_owned()).chain(files).collect()
    };
    assert_eq!(
        names("classic"),
        ["team-label.hooks.example.com", "pods.policy.example.com", "pods.yaml", "team-label.yaml"]
    );
    assert_eq!(names("other"), ["team-label.hooks.example.com", "team-label.yaml"]);
}

/// A ConfigMap holds a mebibyte, and what `kubectl apply` remembers of it 256 KiB.
#[test]
fn hooks_are_spread_over_config_maps() {
    let dir = tempfile::tempdir().expect("a directory");
    let hook = std::fs::read_to_string(here().join("hooks/team-label.yaml")).expect("a hook");
    let write = |name: &str, kib: usize| {
        let test = format!(
            "  - {{name: '{}', expect: allow, object: {{apiVersion: v1, kind: Pod, metadata: {{name: a, namespace: b}}}}}}\n",
            "\"".repeat(1024)
        );
        let padded = format!("{}{}", hook.replace("team-label", name), test.repeat(kib));
        std::fs::write(dir.path().join(format!("{name}.yaml")), padded).expect("written");
    };
    for n in 0..7 {
        write(&format!("hook-{n}"), 40);
    }
    let ca = here().join("ca.crt");
    let run = |more: &[&str]| {
        let args =
            [&["admission", "manifests", "-o", "json", "--ca-bundle", ca.to_str().expect("a path")], more, &["."]]
                .concat();
        portcullis(dir.path(), &args)
    };
    let list: Json = serde_json::from_str(&run(&[]).stdout).expect("JSON");
    let items = list["items"].as_array().expect("items");
    let maps: Vec<_> = items.iter().filter(|item| item["kind"] == "ConfigMap").skip(1).collect();
    let files: usize = maps.iter().filter_map(|map| map["data"].as_object()).map(serde_json::Map::len).sum();
    assert_eq!((maps.len(), files), (4, 7));
    for map in &maps {
        assert!(map.to_string().len() < 256 << 10, "kubectl's copy is too long");
    }
    let mounted = &of_kind(items, "Deployment")["spec"]["template"]["spec"]["volumes"][1]["projected"]["sources"];
    let names: Vec<_> =
        mounted.as_array().expect("sources").iter().map(|source| &source["configMap"]["name"]).collect();
    assert_eq!(names, maps.iter().map(|map| &map["metadata"]["name"]).collect::<Vec<_>>());

    write("hook-0", 1024);
    let ran = run(&[]);
    assert!(ran.status == 3 && ran.stderr.contains("`hook-0.yaml` has 11"), "{} {}", ran.status, ran.stderr);
}

/// A file with these tokens in its document of callers.
fn write_callers(dir: &Path, tokens: &str) -> String {
    let head = "apiVersion: portcullis.dev/v1\nkind: AdmissionCallers\nmetadata: {name: a}";
    let path = dir.join("callers.yaml");
    std::fs::write(&path, format!("{head}\nspec: {{tokens: [{tokens}]}}\n")).expect("written");
    path.to_str().expect("a path").to_owned()
}

#[test]
fn what_is_of_the_api_server_names_what_it_looks_for() {
    let user = |args: &[&str]| {
        let ran = admission(&[&["manifests", "--only", "kubeconfig"], args, ALL].concat());
        read_all(&ran.stdout).pop().unwrap_or_else(|| panic!("{ran:?}"))["users"][0].clone()
    };
    let certificate = serde_json::json!({
        "client-certificate": "/etc/kubernetes/pki/portcullis/client.crt",
        "client-key": "/etc/kubernetes/pki/portcullis/client.key",
    });
    assert_eq!(user(&[]), serde_json::json!({"name": "portcullis-admission.portcullis.svc", "user": certificate}));
    assert_eq!(user(&["--port", "8443", "--name", "a", "--namespace", "b"])["name"], "a.b.svc:8443");
    assert_eq!(user(&["--url", "https://localhost"])["name"], "localhost:443");
    assert_eq!(user(&["--layout", "node"])["name"], "127.0.0.1:8443");
    let dir = tempfile::tempdir().expect("a directory");
    let callers = write_callers(dir.path(), &format!("{{name: a, sha256: {}}}", "0a".repeat(32)));
    assert_eq!(user(&["--token-file", "/t", &callers])["user"], serde_json::json!({"tokenFile": "/t"}));
    let ran = admission(&[&["manifests", "--callers", "anonymous", "--only", "kubeconfig"], ALL].concat());
    assert_eq!(ran.status, 2, "{ran:?}");

    let ran =
        admission(&[&["manifests", "--only", "admission-configuration", "--api-server-dir", "/d/"], ALL].concat());
    let configuration = &read_all(&ran.stdout)[0];
    assert_eq!(configuration["apiVersion"], "apiserver.config.k8s.io/v1");
    for (plugin, name) in [(0, "MutatingAdmissionWebhook"), (1, "ValidatingAdmissionWebhook")] {
        assert_eq!(configuration["plugins"][plugin]["name"], name);
        assert_eq!(configuration["plugins"][plugin]["configuration"]["kubeConfigFile"], "/d/kubeconfig.yaml");
    }
}

fn walk(dir: &Path, below: &Path, files: &mut Vec<String>) {
    for entry in std::fs::read_dir(dir).expect("a directory") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            walk(&path, below, files);
        } else {
            files.push(path.strip_prefix(below).expect("below").display().to_string());
        }
    }
}

#[test]
fn a_node_gets_files_that_a_listener_loads() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().to_str().expect("a path");
    let ran = admission(
        &[&["manifests", "--layout", "node", "--dir", path, "--url", "https://127.0.0.1:9443"], ALL].concat(),
    );
    assert_eq!(ran.status, 0, "{ran:?}");
    let mut files = Vec::new();
    walk(dir.path(), dir.path(), &mut files);
    files.sort();
    assert_eq!(
        files,
        [
            "etc/kubernetes/manifests/portcullis-admission.yaml",
            "etc/kubernetes/pki/portcullis/admission-configuration.yaml",
            "etc/kubernetes/pki/portcullis/kubeconfig.yaml",
            "etc/portcullis/admission-callers.yaml",
            "etc/portcullis/admission.yaml",
            "etc/portcullis/hooks/pods.yaml",
            "etc/portcullis/hooks/team-label.yaml",
            "webhooks.yaml",
        ]
    );
    let read_file = |name: &str| std::fs::read_to_string(dir.path().join(name)).expect(name);
    let envoy = &read_all(&read_file("etc/portcullis/admission.yaml"))[0];
    let listener = &envoy["static_resources"]["listeners"][0];
    let address = serde_json::json!({"address": "127.0.0.1", "port_value": 9443});
    assert_eq!(listener["address"]["socket_address"], address);
    let config = &listener["filter_chains"][0]["filters"][0]["typed_config"]["filter_config"]["value"];
    let config: Json = serde_json::from_str(config.as_str().expect("text")).expect("JSON");
    assert_eq!(
        config["policy"],
        serde_json::json!({"directory": "/etc/portcullis/hooks", "files": ["/etc/portcullis/admission-callers.yaml"]})
    );
    assert_eq!(config["accessLog"]["path"], "stderr");
    let probe = &read_all(&read_file("etc/kubernetes/manifests/portcullis-admission.yaml"))[0]["spec"]["containers"][0]
        ["readinessProbe"];
    assert_eq!(
        probe["httpGet"],
        serde_json::json!({"host": "127.0.0.1", "path": "/readyz", "port": 9443, "scheme": "HTTPS"})
    );

    let checked = portcullis(
        dir.path(),
        &[
            "check",
            "--protocol",
            "admission",
            "--host",
            "envoy",
            "--deny-warnings",
            "etc/portcullis/hooks",
            "etc/portcullis/admission-callers.yaml",
        ],
    );
    assert_eq!(checked.status, 0, "{checked:?}");
    let json = portcullis(
        &here(),
        &[
            "admission",
            "manifests",
            "-o",
            "json",
            "--layout",
            "node",
            "--only",
            "envoy",
            "--ca-bundle",
            "ca.crt",
            "hooks",
        ],
    );
    assert_eq!(json.status, 2, "{json:?}");
}

/// What the API server or a cluster would stumble over is told before.
#[test]
fn what_cannot_work_is_refused() {
    let dir = tempfile::tempdir().expect("a directory");
    let write = |name: &str, text: &str| {
        let path = dir.path().join(name);
        std::fs::write(&path, text).expect("written");
        path.to_str().expect("a path").to_owned()
    };
    let hook = std::fs::read_to_string(here().join("hooks/team-label.yaml")).expect("a hook");
    let one = write(
        "one.yaml",
        &hook.replace("uri: /team-label", "uri: /one\n  webhookName: a.b.c").replace("name: team-label", "name: one"),
    );
    let two = write(
        "two.yaml",
        &hook.replace("uri: /team-label", "uri: /two\n  webhookName: a.b.c").replace("name: team-label", "name: two"),
    );
    std::fs::create_dir(dir.path().join("sub")).expect("a directory");
    let same = write("sub/one.yaml", &hook);
    let spaced = write("a hook.yaml", &hook);
    let policy = write(
        "policy.yaml",
        "apiVersion: portcullis.dev/v1\nkind: L7Policy\nmetadata: {name: admission-callers}\nspec:\n  endpointSelector: {}\n  ingress: [{fromEntities: [all]}]\n",
    );
    let key = write("key.pem", "-----BEGIN PRIVATE KEY-----\nAA==\n-----END PRIVATE KEY-----\n");
    let none = write_callers(dir.path(), "");
    // With nothing but a hook for others beside it, the document is left out with the hook.
    let pods = std::fs::read_to_string(here().join("hooks/pods.yaml")).expect("a hook");
    let tokens = format!("spec: {{tokens: [{{name: a, sha256: {}}}]}}\n", "0a".repeat(32));
    let left_out = write(
        "left-out.yaml",
        &format!("{pods}---\napiVersion: portcullis.dev/v1\nkind: AdmissionCallers\nmetadata: {{name: a}}\n{tokens}"),
    );
    let ca = &["--ca-bundle", "ca.crt"];
    let hooks = &["hooks"];
    for (args, status, words) in [
        (&[hooks as &[&str]][..], 2, "whom shall the API server trust"),
        (&[&["--ca-bundle", &key], hooks], 3, "holds a private key"),
        (&[&["--ca-bundle", "leaf.crt"], hooks], 3, "is no authority"),
        (&[&["--ca-bundle", "nothing.crt"], hooks], 3, "cannot be read"),
        (&[ca, &["--suffix", "com"], hooks], 3, "three labels"),
        (&[ca, &["--suffix", "Example.com"], hooks], 2, "is no name"),
        (&[ca, &["--name", "a.b"], hooks], 2, "is no name"),
        (&[ca, &["--url", "http://a"], hooks], 2, "https://HOST:PORT"),
        (&[ca, &["--url", "https://a/b"], hooks], 2, "https://HOST:PORT"),
        (&[ca, &["--url", "https://a?b"], hooks], 2, "https://HOST:PORT"),
        (&[ca, &["--url", "https://u@a"], hooks], 2, "https://HOST:PORT"),
        (&[ca, &["--url", "https://a:0"], hooks], 2, "https://HOST:PORT"),
        (&[ca, &["--annotation", "x"], hooks], 2, "KEY=VALUE"),
        (&[ca, &["--only", "static-pod"], hooks], 2, "there is no part `static-pod`"),
        (&[ca, &["--target", "x", "hooks/pods.yaml"]], 3, "no hook is for `x`"),
        (&[ca, &[&none]], 3, "there are no hooks"),
        (&[ca, &[&one, &two]], 3, "one name, `a.b.c`"),
        (&[ca, &[&one, &same]], 3, "two files are named `one.yaml`"),
        (&[ca, &[&spaced]], 3, "cannot be a key"),
        (&[ca, &[&policy], hooks], 3, "do not go together"),
        (&[ca, &["--token-file", "/t"], hooks], 3, "write a document of kind `AdmissionCallers`"),
        (&[ca, &["--token-file", "/t", &none], hooks], 3, "write a document of kind `AdmissionCallers`"),
        (&[ca, &["--token-file", "/t", "--target", "other", &left_out, "hooks/team-label.yaml"]], 3, "with 401"),
        (&[ca, &["--token-file", "t"], hooks], 2, "`--token-file t` is relative"),
        (&[ca, &["--api-server-dir", "d"], hooks], 2, "`--api-server-dir d` is relative"),
    ] {
        let args = [&[&["manifests"][..]], args].concat().concat();
        let ran = admission(&args);
        assert!(ran.status == status && ran.stderr.contains(words) && ran.stdout.is_empty(), "{args:?}: {ran:?}");
    }
}

#[test]
fn failed_tests_say_what_decided() {
    let dir = repository("docs/cli/examples");
    let report = tempfile::tempdir().expect("a directory");
    let junit = report.path().join("junit.xml");
    let args = ["admission", "test", "-o", "json", "--junit", junit.to_str().expect("a path"), "failing-hook.yaml"];
    let ran = portcullis(&dir, &args);
    assert_eq!(ran.status, 1, "{ran:?}");
    let json: Json = serde_json::from_str(&ran.stdout).expect("JSON");
    assert_eq!((&json["passed"], &json["failed"]), (&0.into(), &1.into()));
    let test = &json["suites"][0]["tests"][0];
    assert_eq!(test["at"], "failing-hook.yaml:13:5");
    assert_eq!(test["failures"], serde_json::json!(["expected deny, got allow by default"]));
    let xml = std::fs::read_to_string(&junit).expect("a report");
    assert!(xml.contains("<testsuite name=\"no-latest\" tests=\"1\" failures=\"1\""), "{xml}");
    let filtered = portcullis(&dir, &["admission", "test", "--filter", "no such test", "failing-hook.yaml"]);
    assert_eq!((filtered.status, filtered.stdout.as_str()), (0, "0 passed, 0 failed\n"));
    assert_eq!(portcullis(&dir, &["admission", "test", "cache.yaml"]).stdout, "0 passed, 0 failed\n");
    let broken = portcullis(&dir, &["admission", "test", "-o", "json", "broken/port.yaml"]);
    assert_eq!(broken.status, 1, "{broken:?}");
}

const REVIEW: &str = r#"{"apiVersion": "admission.k8s.io/v1beta1", "kind": "AdmissionReview", "request": {"uid": "u-1",
  "kind": {"group": "", "version": "v1", "kind": "Pod"}, "resource": {"group": "", "version": "v1", "resource": "pods"},
  "name": "web", "namespace": "shop", "operation": "CREATE", "userInfo": {"username": "ann"},
  "object": {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web"}, "spec": {"containers": [{"name": "web", "image": "nginx"}]}}}}"#;

#[test]
fn a_review_is_answered_as_the_api_server_gets_it() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("review.json");
    std::fs::write(&file, REVIEW).expect("written");
    let hooks = repository("docs/cli/examples/hooks");
    let eval = |args: &[&str]| {
        let hooks = hooks.to_str().expect("a path");
        portcullis(dir.path(), &[&["admission", "eval"], args, &["review.json", hooks]].concat())
    };
    let ran = eval(&["--uri", "/no-latest", "-o", "json"]);
    let answer: Json = serde_json::from_str(&ran.stdout).expect("JSON");
    assert_eq!((ran.status, &answer["apiVersion"]), (1, &"admission.k8s.io/v1beta1".into()));
    assert_eq!((&answer["response"]["uid"], &answer["response"]["allowed"]), (&"u-1".into(), &false.into()));
    assert_eq!(answer["response"]["status"]["message"], "image `nginx` is not from registry.example.com");

    let ran = eval(&["--hook", "team-label", "--patched"]);
    assert_eq!((ran.status, &read_all(&ran.stdout)[0]["metadata"]["labels"]["team"]), (0, &"none".into()), "{ran:?}");
    let ran = eval(&["-o", "json"]);
    let all: Json = serde_json::from_str(&ran.stdout).expect("JSON");
    assert_eq!(all["judged"].as_array().map(Vec::len), Some(2), "{all}");
    assert_eq!(all["judged"][0]["decidedBy"], "decide[0]");
    assert!(all["judged"][0]["at"].as_str().is_some_and(|at| at.ends_with("no-latest.yaml:16:5")), "{all}");
    assert_eq!(all["judged"][1]["answer"]["response"]["patchType"], "JSONPatch");
    for (args, status, words) in [
        (&["--hook", "no"][..], 2, "there is no hook `no`"),
        (&["--uri", "/no"], 2, "`/no-latest`, `/team-label`"),
        (&["--user", "x"], 2, "says itself who asks"),
        (&["--patched"], 2, "of one hook"),
        (&["--patched", "--hook", "no-latest"], 1, "denies it"),
    ] {
        let ran = eval(args);
        assert!(ran.status == status && ran.stderr.contains(words), "{args:?}: {ran:?}");
    }
    // What the listener refuses is refused here, with the same words.
    std::fs::write(&file, REVIEW.replace("CREATE", "INVENT")).expect("written");
    let ran = eval(&["--hook", "no-latest", "-o", "json"]);
    let answer: Json = serde_json::from_str(&ran.stdout).expect("JSON");
    assert_eq!(
        (ran.status, &answer["response"]["uid"], &answer["response"]["status"]["code"]),
        (1, &"u-1".into(), &400.into())
    );
    std::fs::write(&file, REVIEW.replace("\"request\"", "\"response\"")).expect("written");
    let ran = eval(&["--hook", "no-latest"]);
    assert!(ran.status == 3 && ran.stderr.contains("HTTP status 400"), "{ran:?}");
    std::fs::write(&file, "{\"kind\": ").expect("written");
    assert_eq!(eval(&[]).status, 3);
}

#[test]
fn the_committed_documentation_is_not_stale() {
    let dir = repository("envoy-config/admission");
    for (file, args) in
        [("docs.md", &["admission", "docs", "hooks"][..]), ("docs.json", &["admission", "docs", "-o", "json", "hooks"])]
    {
        let ran = portcullis(&dir, args);
        assert_eq!(ran.status, 0, "{ran:?}");
        if std::env::var_os("PORTCULLIS_WRITE").is_some() {
            std::fs::write(dir.join(file), &ran.stdout).expect("written");
        }
        let committed = std::fs::read_to_string(dir.join(file)).unwrap_or_default();
        assert!(committed == ran.stdout, "envoy-config/admission/{file} is stale: run with `PORTCULLIS_WRITE=1`");
    }
    let short = portcullis(&dir, &["admission", "docs", "--short", "-o", "json", "hooks"]).stdout;
    let short: Json = serde_json::from_str(&short).expect("JSON");
    let full: Json =
        serde_json::from_str(&std::fs::read_to_string(dir.join("docs.json")).expect("docs")).expect("JSON");
    let names =
        |all: &Json| all.as_array().expect("a list").iter().map(|hook| hook["name"].to_string()).collect::<Vec<_>>();
    assert_eq!(names(&short), names(&full));
    assert!(names(&full).is_sorted() && names(&full).len() >= 30);
    assert!(short[0]["rules"].is_null() && !full[0]["rules"].is_null());
    for hook in full.as_array().expect("a list") {
        assert!(!hook["doc"].as_str().expect("text").contains("{{"), "{hook}: lists are not filled in");
    }
}

#[test]
fn the_shipped_hooks_load_without_warnings_and_pass_their_tests() {
    let dir = repository("envoy-config/admission");
    let ran = portcullis(&dir, &["admission", "test", "--require-tests", "hooks"]);
    assert!(ran.status == 0 && ran.stdout.ends_with(" passed, 0 failed\n"), "{ran:?}");
    for args in [
        &["admission", "check", "--deny-warnings", "hooks"][..],
        &["check", "--protocol", "admission", "--deny-warnings", "hooks", "callers.yaml"],
    ] {
        let ran = portcullis(&dir, args);
        assert_eq!(ran.status, 0, "{ran:?}");
    }
    let ran = portcullis(&repository("docs/cli/examples"), &["admission", "check", "-o", "json", "broken/port.yaml"]);
    let json: Json = serde_json::from_str(&ran.stdout).expect("JSON");
    assert_eq!((ran.status, &json["ok"]), (1, &false.into()));
}
