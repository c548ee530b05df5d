//! What only the strict kind has.

use super::*;

#[test]
fn the_strict_kind_implies_nothing() {
    let admits =
        |rules: &str, command, key| from(peer("app=a")).allows(&compile(&[&strict(rules)]).snapshot, command, key);
    let rules = "rules: {l7proto: kv, l7: [{command: get}], deny: [{keyPrefix: secret}]}";
    assert!(admits(rules, "get", "x") && !admits(rules, "get", "secret/1") && !admits(rules, "set", "x"));
    let denied = "rules: {l7proto: kv, deny: [{keyPrefix: secret}]}";
    assert!(!admits(denied, "get", "x"), "what is not denied is not allowed by that");
    for (rules, wanted) in [
        ("rules: {l7proto: kv, l7: []}", "no `l7` items"),
        ("rules: {l7proto: kv, l7: [{}]}", "demands nothing"),
        ("rules: {l7proto: kv, l7: [{command: ''}]}", "demands nothing"),
        ("rules: {l7proto: kv, l7: [{command: get, keyPrefix: }]}", "found nothing (null)"),
        ("rules: ", "`rules` is null"),
        ("rules: {l7proto: kv, l7: [{command: get}], http: []}", "`http` cannot be enforced"),
        ("rules: {}", "says nothing"),
        ("rules: {l7proto: kv, l7: [{name: a}]}", "demands nothing"),
        ("rules: {l7proto: kv, l7: [{command: get, name: }]}", "unknown field `name`"),
        ("rules: {l7proto: kv, l7: [{command: get, mode: audit}]}", "an `l7` item denies nothing"),
        ("rules: {l7proto: kv, l7: [{command: get, name: a}, {command: set, name: a}]}", "is called `a`, too"),
        (
            "rules: {l7proto: kv, deny: [{command: get, mode: off}]}",
            "`off` is not known here; allowed are `enforce`, `audit`",
        ),
    ] {
        let errors = refusals(&strict(rules));
        assert!(errors.contains(wanted), "{rules}: {errors}");
    }
    for (ingress, wanted) in
        [("[{}]", "admits every peer"), ("[{toPorts: []}]", "means every port"), ("[{fromEndpoints: }]", "is null")]
    {
        let text = strict("");
        let text = format!("{}  ingress: {ingress}\n", text.split("  ingress").next().unwrap());
        assert!(refusals(&text).contains(wanted), "{ingress}");
    }
    assert!(
        refusals(&spec("ingress: [{toPorts: [{rules: {l7proto: kv, deny: [{command: get}]}}]}]"))
            .contains("unknown field `deny`")
    );
    // An address is an address, whoever is known to have it.
    let text = strict("").replace("{toPorts", "{fromCIDR: [10.0.0.0/8], toPorts");
    let pod = Identity { address: "10.1.2.3".parse().ok(), ..peer("k8s:io.kubernetes.pod.namespace=default") };
    assert!(from(pod).allows(&compile(&[&text]).snapshot, "get", "x"));
}

#[test]
fn rules_have_names() {
    let items =
        "rules: {l7proto: kv, l7: [{command: get, name: reads}, {command: set}], deny: [{keyPrefix: s, name: no s}]}";
    let text = strict(items).replace("{toPorts", "{name: some, toPorts");
    let snapshot = compile(&[&text]).snapshot;
    let rule = |command, key| {
        let decision = from(peer("app=a")).judge(&snapshot, command, key);
        snapshot.rule(decision.rule.unwrap()).unwrap().name.clone()
    };
    assert_eq!(rule("get", "x"), "s/reads");
    assert_eq!(rule("set", "x"), "s/some.toPorts[0].rules.l7[1]");
    assert_eq!(rule("get", "s"), "s/no s");
    let open = strict("")
        .replace("{toPorts", "{name: all of it, toPorts")
        .replace("{name: s}", "{name: s, namespace: default}");
    let snapshot = compile(&[&open]).snapshot;
    let decision = from(peer("app=a")).judge(&snapshot, "get", "x");
    assert_eq!(snapshot.rule(decision.rule.unwrap()).unwrap().name, "default/s/all of it");
    for (name, wanted) in [("''", "1 to 128 bytes"), ("\"a\\n\"", "no control characters"), ("1", "put it in quotes")] {
        let text = strict("").replace("{toPorts", &format!("{{name: {name}, toPorts"));
        assert!(refusals(&text).contains(wanted), "{name}");
    }
    assert!(refusals(&spec("ingress: [{name: a, fromEntities: [all]}]")).contains("unknown field `name`"));
}

/// The cases of the chapter on audit in `docs/policy.md`.
#[test]
fn audit() {
    let judge = |policies: &[&str], command, key| {
        let snapshot = compile(policies).snapshot;
        let Decision { outcome, rule, reason } = from(peer("app=a")).judge(&snapshot, command, key);
        (outcome, reason, rule.and_then(|id| snapshot.rule(id)).map(|info| info.name.clone()))
    };
    use Outcome::{Allow, Audit, Deny};
    let none = None::<String>;
    let get = "rules: {l7proto: kv, l7: [{command: get}]}";
    let elsewhere = named("e", "ingress: [{toPorts: [{ports: [{port: '1'}]}]}]");

    // A default denial: watched if all policies that select the endpoint are.
    let all = strict(get).replace("  ingress", "  mode: audit\n  ingress");
    let other_peer = all.replace("{toPorts", "{fromEntities: [world], toPorts");
    assert_eq!(judge(&[&other_peer], "get", "x"), (Audit, Reason::NoRule, none.clone()));
    assert_eq!(judge(&[&other_peer, &elsewhere], "get", "x"), (Deny, Reason::NoRule, none.clone()));

    // A rule that allows: what it allows is allowed, and its peers may do the rest, too.
    let rule = strict(get).replace("{toPorts", "{mode: audit, toPorts");
    assert_eq!(judge(&[&rule, &elsewhere], "get", "x").0, Allow);
    assert_eq!(judge(&[&rule, &elsewhere], "set", "x"), (Audit, Reason::NoRule, none.clone()));
    assert_eq!(judge(&[&strict(get)], "set", "x"), (Deny, Reason::NoRule, none.clone()));
    assert_eq!(judge(&[&all, &elsewhere], "set", "x"), (Audit, Reason::NoRule, none.clone()));

    // A rule that denies: named, and without effect; what nothing allows stays denied.
    let deny = |mode: &str| {
        strict("")
            .replace("  ingress: [", &format!("  ingressDeny: [{{{mode}name: no, fromEntities: [all]}}]\n  ingress: ["))
    };
    assert_eq!(judge(&[&deny("mode: audit, ")], "get", "x"), (Audit, Reason::Rule, Some("s/no".to_owned())));
    assert_eq!(judge(&[&deny("")], "get", "x"), (Deny, Reason::Rule, Some("s/no".to_owned())));
    let only = deny("mode: audit, ").replace("11211", "11212");
    assert_eq!(judge(&[&only], "get", "x"), (Deny, Reason::NoRule, none.clone()));

    // An item that denies.
    let item = |mode: &str| {
        strict(&format!("rules: {{l7proto: kv, l7: [{{command: get}}], deny: [{{keyPrefix: s, name: no, {mode}}}]}}"))
    };
    assert_eq!(judge(&[&item("mode: audit")], "get", "s"), (Audit, Reason::Rule, Some("s/no".to_owned())));
    assert_eq!(judge(&[&item("mode: audit")], "get", "x").0, Allow);
    assert_eq!(judge(&[&item("mode: audit")], "set", "s"), (Deny, Reason::NoRule, none));
    assert_eq!(judge(&[&item("mode: enforce")], "get", "s").0, Deny);
    // A denial in force is not hidden by one that is watched.
    let both = item("mode: audit").replace("deny: [", "deny: [{command: get}, ");
    assert_eq!(judge(&[&both], "get", "s").0, Deny);

    let nothing = strict("").replace("{toPorts", "{mode: audit, toPorts");
    assert!(refusals(&nothing).contains("denies nothing that could be watched"));
    assert!(refusals(&spec("mode: audit\ningress: []")).contains("unknown field `mode`"));
}

#[test]
fn peers_are_known_by_their_certificates() {
    let text = |peer: &str| strict("").replace("{toPorts", &format!("{{fromPeers: [{peer}], toPorts"));
    let shown = |uris: &[&str], dns: &[&str], subject: Option<&str>| {
        let certificate = Certificate::new(uris.to_vec(), dns.to_vec(), subject.map(str::to_owned));
        address("192.0.2.1").with_certificate(certificate)
    };
    let id = "spiffe://rebels.example/ns/fleet/sa/x-wing";
    for (rule, uris, dns, subject, wanted) in [
        ("spiffe: 'spiffe://rebels.example/ns/fleet/sa/x-wing'", vec![id], vec![], None, true),
        ("spiffe: 'spiffe://rebels.example/ns/fleet/sa/x-win'", vec![id], vec![], None, false),
        ("spiffe: 'spiffe://rebels.example/ns/fleet/*'", vec![id], vec![], None, true),
        ("spiffe: 'spiffe://rebels.example/*'", vec![id], vec![], None, true),
        ("spiffe: 'spiffe://rebels.example/ns/fleet/sa/x-wing/*'", vec![id], vec![], None, false),
        ("spiffe: 'spiffe://rebels.example/ns/flee/*'", vec![id], vec![], None, false),
        ("spiffe: 'spiffe://rebels.example/*'", vec!["spiffe://rebels.example"], vec![], None, false),
        ("spiffe: 'spiffe://rebels.example/*'", vec!["spiffe://rebels.example/a/../b"], vec![], None, false),
        // Two URIs are no SPIFFE id.
        ("spiffe: 'spiffe://rebels.example/*'", vec![id, "urn:x"], vec![], None, false),
        ("dnsName: db.example.com", vec![], vec!["x.example.com", "DB.example.com"], None, true),
        ("dnsName: '*.example.com'", vec![], vec!["db.example.com"], None, true),
        ("dnsName: '*.example.com'", vec![], vec!["a.db.example.com", "example.com"], None, false),
        ("dnsName: example.com", vec![id], vec![], Some("CN=example.com"), false),
        ("subject: 'CN=a,O=b'", vec![], vec![], Some("CN=a,O=b"), true),
        ("subject: 'CN=a,O=b'", vec![], vec![], Some("CN=a,O=B"), false),
    ] {
        assert_eq!(admits(&[&text(&format!("{{{rule}}}"))], shown(&uris, &dns, subject)), wanted, "{rule}");
    }
    assert!(!admits(&[&text("{dnsName: a.example}")], address("192.0.2.1")));
    for (rule, wanted) in [
        ("{spiffe: 'https://a/b'}", "does not begin with `spiffe://`"),
        ("{spiffe: 'spiffe://A/b'}", "a trust domain has lower-case letters"),
        ("{spiffe: 'spiffe://a/*/b'}", "a `*` only as the last part"),
        ("{spiffe: 'spiffe://a/b/'}", "between single slashes"),
        ("{dnsName: 'a.*.b'}", "is not a DNS name"),
        ("{dnsName: '*'}", "is not a DNS name"),
        ("{subject: fleet}", "is not a subject"),
        ("{dnsName: a, subject: 'CN=a'}", "wanted one of `spiffe`, `dnsName`, `subject`"),
        ("{}", "wanted one of `spiffe`"),
        ("{uri: a}", "unknown field `uri`"),
    ] {
        let errors = refusals(&text(rule));
        assert!(errors.contains(wanted), "{rule}: {errors}");
    }
    let both = strict("").replace("{toPorts", "{fromPeers: [{dnsName: a}], fromCIDR: [10.0.0.0/8], toPorts");
    assert!(refusals(&both).contains("`fromCIDR` and `fromPeers` cannot be combined"));
}
