#![expect(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

use std::fs;
use std::os::unix::fs::symlink;
use std::time::Duration;

use super::watch::STAMP_RESOLUTION;
use super::*;
use crate::testing::{Ask, TestProtocols, peer};
use crate::{Outcome, Reason, Traffic};

struct Stage {
    folder: tempfile::TempDir,
    store: PolicyStore,
    reloader: Reloader,
    now: SystemTime,
}

fn policy(role: &str) -> String {
    format!(
        "apiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\nmetadata: {{name: p}}\n\
         spec: {{endpointSelector: {{}}, ingress: [{{fromEndpoints: [{{matchLabels: {{role: {role}}}}}]}}]}}\n"
    )
}

impl Stage {
    fn new(watched: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let watch = Watch::new([folder.path().join(watched)]);
        let reloader = Reloader::new(watch, Arc::new(TestProtocols), &CompileOptions::default());
        let reloader = reloader.with_break_glass(folder.path().join("break-glass"));
        Self { folder, store: PolicyStore::default(), reloader, now: SystemTime::now() }
    }

    fn write(&self, file: &str, text: &str) {
        fs::write(self.folder.path().join(file), text).unwrap();
    }

    fn poll_twice(&mut self) -> Vec<Reload> {
        let both = [self.reloader.poll(&self.store, self.now), self.reloader.poll(&self.store, self.now)];
        both.into_iter().flatten().collect()
    }

    /// The generation that two polls put in force, 0 if they refused the files, and nothing if they saw no change.
    fn poll(&mut self) -> Option<u64> {
        self.poll_twice().pop().map(|reload| match reload {
            Reload::Applied { generation, .. } | Reload::Held { generation, .. } => generation,
            Reload::Refused(_) => 0,
            other => panic!("{other:?}"),
        })
    }

    fn judge(&self, endpoint: &str, role: &str) -> (Outcome, Reason) {
        let remote = peer(&format!("role={role},io.kubernetes.pod.namespace=blue"));
        let ask = Ask { endpoint, traffic: Traffic::Ingress, port: 1, remote };
        let decision = ask.judge(&self.store.load(), "get", "x");
        (decision.outcome, decision.reason)
    }

    fn admits(&self, role: &str) -> bool {
        let ask = Ask { endpoint: "", traffic: Traffic::Ingress, port: 1, remote: peer(&format!("role={role}")) };
        ask.allows(&self.store.load(), "get", "x")
    }
}

#[test]
fn good_updates_apply_and_bad_ones_leave_the_last_good_one() {
    let mut stage = Stage::new("p.yaml");
    assert_eq!(stage.poll(), Some(0), "a missing file is an error");
    assert!(!stage.admits("a"));
    stage.write("p.yaml", &policy("a"));
    assert_eq!(stage.poll(), Some(1));
    assert_eq!(stage.poll(), None);
    assert!(stage.admits("a") && stage.reloader.status().error.is_none());

    stage.write("p.yaml", &policy("a").replace("ingress", "igress"));
    assert_eq!(stage.poll(), Some(0));
    assert_eq!(stage.poll(), None);
    let status = stage.reloader.status();
    assert!(stage.admits("a") && status.refused == 2 && status.generation == 1);
    let json: serde_json::Value = serde_json::from_str(&status.to_json(stage.now)).unwrap();
    assert_eq!(json["status"], "error");
    assert!(json["error"].as_str().unwrap().contains("p.yaml:4:30: p/spec: unknown field `igress`"), "{json}");

    // In place, of the same length, within the same tick of the clock.
    stage.write("p.yaml", &policy("b"));
    assert_eq!(stage.poll(), Some(2));
    stage.write("p.yaml", &policy("c"));
    assert_eq!(stage.poll(), Some(3));
    assert!(stage.admits("c") && !stage.admits("b"));
    fs::remove_file(stage.folder.path().join("p.yaml")).unwrap();
    assert_eq!(stage.poll(), Some(0));
    assert!(stage.admits("c"));
}

#[test]
fn a_directory_is_one_unit() {
    let mut stage = Stage::new("");
    stage.write("a.yaml", &policy("a"));
    assert_eq!(stage.poll(), Some(1));
    stage.write("b.yaml", &policy("b").replace("name: p", "name: q"));
    stage.write("bad.yaml", "kind: Nonsense");
    assert_eq!(stage.poll(), Some(0));
    assert!(!stage.admits("b"), "half an update is in force");
    fs::remove_file(stage.folder.path().join("bad.yaml")).unwrap();
    assert_eq!(stage.poll(), Some(2));
    assert!(stage.admits("a") && stage.admits("b"));
    fs::rename(stage.folder.path().join("b.yaml"), stage.folder.path().join("b.off")).unwrap();
    assert_eq!(stage.poll(), Some(3));
    assert!(!stage.admits("b"));
}

#[test]
fn the_symlink_swap_of_kubernetes_is_seen() {
    let mut stage = Stage::new("");
    let root = stage.folder.path().to_owned();
    for (version, role) in [("..1", "a"), ("..2", "b")] {
        fs::create_dir(root.join(version)).unwrap();
        fs::write(root.join(version).join("p.yaml"), policy(role)).unwrap();
    }
    symlink("..1", root.join("..data")).unwrap();
    symlink("..data/p.yaml", root.join("p.yaml")).unwrap();
    assert_eq!(stage.poll(), Some(1));
    symlink("..2", root.join("..data.new")).unwrap();
    fs::rename(root.join("..data.new"), root.join("..data")).unwrap();
    assert_eq!(stage.poll(), Some(2));
    assert!(stage.admits("b") && !stage.admits("a"));
}

#[test]
fn files_that_rest_are_not_read_again() {
    let mut stage = Stage::new("p.yaml");
    stage.write("p.yaml", &policy("a"));
    assert_eq!(stage.poll(), Some(1));
    stage.now += 2 * STAMP_RESOLUTION;
    assert_eq!(stage.poll(), None);
    let status = stage.folder.path().join("status.json");
    stage.reloader.status().write(&status, stage.now).unwrap();
    let text = fs::read_to_string(&status).unwrap_or_else(|error| panic!("{error}"));
    assert!(
        text.starts_with("{\"status\":\"ok\",\"generation\":1,\"hash\":\"")
            && text.ends_with("\"age\":4,\"refused\":0}\n"),
        "{text}"
    );
}

#[test]
fn before_the_first_policy_nothing_passes_and_the_log_says_why() {
    let mut stage = Stage::new("p.yaml");
    assert_eq!(stage.judge("", "a"), (Outcome::Deny, Reason::NotInForce));
    assert_eq!(Reason::NotInForce.as_str(), "no policy in force");
    assert_eq!(stage.poll(), Some(0));
    assert_eq!(stage.judge("", "a"), (Outcome::Deny, Reason::NotInForce));
    assert!(stage.reloader.status().to_json(stage.now).contains("\"since\":null,\"age\":null"));
}

/// A policy of a namespace that admits the role to its endpoints.
fn of_namespace(namespace: &str, role: &str) -> String {
    let text = policy(role).replace("{name: p}", &format!("{{name: p, namespace: {namespace}}}"));
    text.replace("matchLabels: {", "matchLabels: {'k8s:io.kubernetes.pod.namespace': blue, ")
}

#[test]
fn a_bad_file_holds_back_its_own_namespace() {
    const BLUE: &str = "io.kubernetes.pod.namespace=blue";
    const RED: &str = "io.kubernetes.pod.namespace=red";
    let allows = |stage: &Stage, endpoint, role| stage.judge(endpoint, role).0 == Outcome::Allow;
    let mut stage = Stage::new("");
    stage.reloader =
        Reloader::new(Watch::new([stage.folder.path()]), Arc::new(TestProtocols), &CompileOptions::default());
    stage.reloader = stage.reloader.isolate_namespaces();
    let bad = |role| of_namespace("blue", role).replace("ingress", "igress");

    // Never good: its endpoints are closed, others are not.
    stage.write("blue.yaml", &bad("a"));
    stage.write("red.yaml", &of_namespace("red", "a"));
    assert_eq!(stage.poll(), Some(1));
    assert_eq!(stage.judge(BLUE, "a"), (Outcome::Deny, Reason::Held));
    assert!(allows(&stage, RED, "a"));
    assert_eq!(stage.store.load().closed_namespaces().collect::<Vec<_>>(), ["blue"]);
    let status = stage.reloader.status();
    assert!(status.held == ["blue"] && status.refused == 1 && status.error.is_some(), "{status:?}");

    stage.write("blue.yaml", &of_namespace("blue", "a"));
    assert_eq!(stage.poll(), Some(2));
    assert!(allows(&stage, BLUE, "a") && stage.reloader.status().error.is_none());

    // Once good: it stays, whatever is wrong with the new one, and others go on.
    let worse = |role| {
        let rule = "toPorts: [{ports: [{port: '1'}], rules: {l7proto: nope, l7: [{}]}}]";
        of_namespace("blue", role).replace("fromEndpoints", &format!("{rule}, fromEndpoints"))
    };
    for (n, text) in [bad("b"), worse("b"), "{".to_owned(), of_namespace("blue", "b").repeat(2)].iter().enumerate() {
        let (role, gone) = if n % 2 == 0 { ("b", "a") } else { ("a", "b") };
        stage.write("blue.yaml", text);
        stage.write("red.yaml", &of_namespace("red", role));
        let done = stage.poll_twice();
        let [Reload::Held { namespaces, errors, .. }] = done.as_slice() else { panic!("{done:?}") };
        assert!(namespaces == &["blue"] && errors.to_string().contains("blue.yaml"), "{errors}");
        assert!(allows(&stage, BLUE, "a") && !allows(&stage, BLUE, "b"), "{text}");
        assert!(allows(&stage, RED, role) && !allows(&stage, RED, gone), "{text}");
    }

    // What is clusterwide, or cannot be told, is everybody's.
    stage.write("blue.yaml", &of_namespace("blue", "b"));
    let wide = of_namespace("blue", "b").replace("CiliumNetworkPolicy", "CiliumClusterwideNetworkPolicy");
    for text in [wide.replace("ingress", "igress"), "{".to_owned(), "kind: Service".to_owned()] {
        stage.write("more.yaml", &text);
        assert_eq!(stage.poll(), Some(0), "{text}");
        assert!(allows(&stage, BLUE, "a") && !allows(&stage, BLUE, "b"), "{text}");
    }
    fs::remove_file(stage.folder.path().join("more.yaml")).unwrap();
    stage.poll();
    assert!(allows(&stage, BLUE, "b") && stage.reloader.status().held.is_empty());
}

#[test]
fn the_glass_is_broken_for_a_time_and_loudly() {
    let mut stage = Stage::new("p.yaml");
    let minute = Duration::from_secs(60);
    // 2026-01-31T18:30:00Z
    stage.now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_769_884_200);
    stage.write("p.yaml", &policy("a"));
    assert_eq!(stage.poll(), Some(1));
    assert_eq!(stage.judge("", "b"), (Outcome::Deny, Reason::NoRule));

    stage.write("break-glass", "mode: audit\nuntil: 2026-01-31T18:40:00Z\nreason: INC-7\n");
    let done = stage.poll_twice();
    let [Reload::GlassBroken { generation: 2, order }] = done.as_slice() else { panic!("{done:?}") };
    assert_eq!(order.to_string(), "all denials by policy are only logged until 2026-01-31T18:40:00Z; reason: INC-7");
    assert_eq!(stage.judge("", "b"), (Outcome::Audit, Reason::NoRule));
    assert!(stage.admits("a"), "what is allowed is no audit");
    assert!(stage.reloader.status().to_json(stage.now).contains("\"breakGlass\":\"2026-01-31T18:40:00Z\""));

    // New policies do not mend it, it is said again every minute, and a bad file changes nothing.
    stage.write("p.yaml", &policy("c"));
    assert_eq!(stage.poll(), Some(3));
    assert_eq!(stage.judge("", "b"), (Outcome::Audit, Reason::NoRule));
    stage.now += minute;
    assert!(matches!(stage.poll_twice().as_slice(), [Reload::GlassBroken { generation: 3, .. }]));
    stage.write("break-glass", "mode: off\n");
    let done = stage.poll_twice();
    let [Reload::GlassRefused(errors)] = done.as_slice() else { panic!("{done:?}") };
    assert!(
        errors.to_string().contains("break-glass:1:7: mode: `off` is not known here; allowed is `audit`"),
        "{errors}"
    );
    assert_eq!(stage.judge("", "b").0, Outcome::Audit);
    assert!(stage.reloader.status().to_json(stage.now).starts_with("{\"status\":\"error\""));

    stage.now += 9 * minute;
    assert!(matches!(stage.poll_twice().as_slice(), [Reload::GlassMended { generation: 4 }]));
    assert_eq!(stage.judge("", "b"), (Outcome::Deny, Reason::NoRule));

    for (text, wanted) in [
        ("mode: audit", "the field `until` is missing"),
        ("until: 2026-01-31T18:50:00Z", "the field `mode` is missing"),
        ("mode: audit\nuntil: soon", "2:8: until: `soon` is not a time"),
        ("mode: audit\nuntil: 2026-03-01T00:00:00Z", "until: more than 7 days from now"),
        ("mode: audit\nuntil: 2026-01-31T18:50:00Z\nnamespaces: []", "unknown field `namespaces`"),
    ] {
        stage.write("break-glass", text);
        let done = stage.poll_twice();
        let [Reload::GlassRefused(errors)] = done.as_slice() else { panic!("{done:?}") };
        assert!(errors.to_string().contains(wanted), "{errors}");
    }
    stage.write("break-glass", "mode: audit\nuntil: 2026-01-31T19:00:00Z\n");
    assert!(matches!(stage.poll_twice().as_slice(), [Reload::GlassBroken { .. }]));
    fs::remove_file(stage.folder.path().join("break-glass")).unwrap();
    assert!(matches!(stage.poll_twice().as_slice(), [Reload::GlassMended { .. }]));
    assert_eq!(stage.judge("", "b").0, Outcome::Deny);
}

#[test]
fn broken_glass_lets_pass_what_no_policy_is_there_for() {
    let mut stage = Stage::new("p.yaml");
    stage.now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_769_884_200);
    stage.write("break-glass", "{mode: audit, until: '2026-01-31T18:40:00Z'}");
    assert!(matches!(stage.poll_twice().as_slice(), [Reload::Refused(_), Reload::GlassBroken { .. }]));
    assert_eq!(stage.judge("", "b"), (Outcome::Audit, Reason::NotInForce));
}
