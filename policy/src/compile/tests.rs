#![expect(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

mod documents;
mod strict;

use crate::testing::{Ask, address, compile, peer, refusals, try_compile};
use crate::*;

fn fleet() -> String {
    // The announcement's policy, with the commands that the test protocol has.
    include_str!("../../../envoy-config/policies/rebel-alliance-memcache.yaml").replace("writeGroup", "set")
}

fn from(remote: Identity) -> Ask<'static> {
    Ask { endpoint: "app=memcached", traffic: Traffic::Ingress, port: 11211, remote }
}

#[test]
fn the_fleet_policy_means_what_the_announcement_says() {
    let snapshot = compile(&[&fleet()]).snapshot;
    let rows = [
        ("function=fleet-maintenance", "set", "alliance/fleet/x-wing", true),
        ("function=fleet-maintenance", "get", "alliance/fleet/x-wing", true),
        ("function=fleet-maintenance", "set", "alliance/plans", false),
        ("function=fleet-monitoring", "get", "alliance/fleet/x-wing", true),
        ("function=fleet-monitoring", "set", "alliance/fleet/x-wing", false),
        ("role=jedi", "set", "anything", true),
        ("role=sith", "get", "alliance/fleet/x-wing", false),
        ("", "get", "alliance/fleet/x-wing", false),
    ];
    for (who, command, key, allowed) in rows {
        assert_eq!(from(peer(who)).allows(&snapshot, command, key), allowed, "{who} {command} {key}");
    }
    let other_port = Ask { port: 11212, ..from(peer("role=jedi")) };
    assert!(!other_port.allows(&snapshot, "get", "x"));
}

#[test]
fn decisions_name_the_rule_and_its_place() {
    let snapshot = compile(&[&fleet()]).snapshot;
    let decision = from(peer("function=fleet-maintenance")).judge(&snapshot, "get", "alliance/fleet/a");
    let info = snapshot.rule(decision.rule.unwrap()).unwrap();
    assert_eq!(info.name, "secure-rebel-alliance-memcache/specs[0].ingress[0].toPorts[0].rules.l7[1]");
    let line = fleet().lines().position(|line| line.contains("- command: get")).unwrap() + 1;
    assert_eq!(info.place.to_string(), format!("0.yaml:{line}:11"));
    let decision = from(peer("role=sith")).judge(&snapshot, "get", "alliance/fleet/a");
    assert_eq!((decision.rule, decision.reason), (None, Reason::NoRule));
}

const HEAD: &str = "apiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\nmetadata: {name: p}\nspec:\n  endpointSelector: {matchLabels: {app: memcached}}\n";

/// A policy named `p` whose spec goes on as given, two spaces in.
fn spec(rest: &str) -> String {
    let indented: String = rest.trim_start_matches('\n').lines().map(|line| format!("  {line}\n")).collect();
    format!("{HEAD}{indented}")
}

fn named(name: &str, rest: &str) -> String {
    spec(rest).replace("{name: p}", &format!("{{name: {name}}}"))
}

/// Who may `get x` on port 11211 under these policies.
fn admits(policies: &[&str], remote: Identity) -> bool {
    let snapshot = compile(policies).snapshot;
    from(remote).allows(&snapshot, "get", "x")
}

#[test]
fn absent_empty_and_empty_selector_differ() {
    let inside = || peer("app=a");
    let world = || address("192.0.2.1");
    let rows = [
        // fromEndpoints
        ("ingress: [{toPorts: []}]", true, true),
        ("ingress: [{fromEndpoints: []}]", false, false),
        ("ingress: [{fromEndpoints: [{}]}]", true, false),
        // the other peers
        ("ingress: [{fromEntities: []}]", false, false),
        ("ingress: [{fromCIDR: []}]", false, false),
        ("ingress: [{fromCIDRSet: []}]", false, false),
        ("ingress: [{fromEntities: [world]}]", false, true),
        ("ingress: [{fromEntities: [cluster]}]", true, false),
        ("ingress: [{fromEntities: [all]}]", true, true),
        ("ingress: [{fromEntities: [none]}]", false, false),
        // the direction
        ("egress: []", false, false),
        ("ingress: []", false, false),
        ("ingress: [{}]", true, true),
        // toPorts
        ("ingress: [{toPorts: [{}]}]", true, true),
        ("ingress: [{toPorts: [{ports: []}]}]", true, true),
        ("ingress: [{toPorts: [{ports: [{port: '0'}]}]}]", true, true),
        ("ingress: [{toPorts: [{ports: [{port: '11211'}]}]}]", true, true),
        ("ingress: [{toPorts: [{ports: [{port: '11212'}]}]}]", false, false),
        ("ingress: [{toPorts: [{ports: [{port: '11000', endPort: 12000}]}]}]", true, true),
        ("ingress: [{toPorts: [{ports: [{port: '11211', protocol: UDP}]}]}]", false, false),
        // rules
        ("ingress: [{toPorts: [{ports: [{port: '11211'}], rules: {}}]}]", true, true),
        ("ingress: [{toPorts: [{ports: [{port: '11211'}], rules: {l7proto: kv, l7: []}}]}]", true, true),
        ("ingress: [{toPorts: [{ports: [{port: '11211'}], rules: {l7proto: kv, l7: [{}]}}]}]", true, true),
        (
            "ingress: [{toPorts: [{ports: [{port: '11211'}], rules: {l7proto: kv, l7: [{command: set}]}}]}]",
            false,
            false,
        ),
        ("ingress: [{toPorts: [{ports: [{port: '0'}], rules: {l7proto: kv, l7: [{command: get}]}}]}]", true, true),
    ];
    for (rest, from_inside, from_world) in rows {
        assert_eq!(admits(&[&spec(rest)], inside()), from_inside, "inside: {rest}");
        assert_eq!(admits(&[&spec(rest)], world()), from_world, "world: {rest}");
    }
    assert!(refusals(&spec("ingress: [{fromCIDRSet: [{}]}]")).contains("`cidr` is missing"));
    assert!(refusals(&spec("ingress: [{fromEntities: [{}]}]")).contains("p/spec.ingress[0].fromEntities[0]"));
}

/// A policy of the strict kind, named `s`, with these rules on the port.
fn strict(rules: &str) -> String {
    let head = HEAD.replace("cilium.io/v2", "portcullis.dev/v1").replace("CiliumNetworkPolicy", "L7Policy");
    format!(
        "{}  ingress: [{{toPorts: [{{ports: [{{port: '11211'}}], {rules}}}]}}]\n",
        head.replace("{name: p}", "{name: s}")
    )
}

/// The table in the documentation of the crate, row by row.
#[test]
fn precedence() {
    let item = |command: &str| format!("rules: {{l7proto: kv, l7: [{{command: {command}}}]}}");
    let on_port = |rest: &str| format!("ingress: [{{toPorts: [{{ports: [{{port: '11211'}}], {rest}}}]}}]");
    let judge = |policies: &[String], options: CompileOptions<'_>| {
        let texts: Vec<_> = policies.iter().map(String::as_str).collect();
        let snapshot = try_compile(&texts, &options).unwrap().snapshot;
        let decision = from(peer("app=a")).judge(&snapshot, "get", "x");
        let rule = decision.rule.and_then(|id| snapshot.rule(id)).map(|info| info.name.clone());
        (decision.outcome, decision.reason, rule)
    };
    let deny = named("d", "ingressDeny: [{}]");
    let open = named("o", &on_port(""));
    let get = named("g", &on_port(&item("get")));
    let set = named("s", &on_port(&item("set")));
    let soft = named("f", &format!("enableDefaultDeny: {{ingress: false}}\n{}", on_port(&item("set"))));
    let foreign = named("x", &on_port("rules: {l7proto: other, l7: [{}]}"));
    let elsewhere = named("e", "egress: []");
    let plain = CompileOptions::default();
    let (rule, none) = (|name: &str| Some(name.to_owned()), None::<String>);
    use Outcome::{Allow, Deny};
    assert_eq!(judge(std::slice::from_ref(&elsewhere), plain), (Deny, Reason::NoPolicy, none.clone()), "1");
    let allow = CompileOptions { default: DefaultVerdict::Allow, ..plain };
    assert_eq!(judge(&[elsewhere], allow), (Allow, Reason::NoPolicy, none.clone()), "1");
    assert_eq!(
        judge(&[get.clone(), open.clone(), deny], plain),
        (Deny, Reason::Rule, rule("d/spec.ingressDeny[0]")),
        "2"
    );
    let strict = strict("rules: {l7proto: kv, l7: [{command: get}], deny: [{keyPrefix: x}]}");
    let item = rule("s/spec.ingress[0].toPorts[0].rules.deny[0]");
    assert_eq!(judge(&[strict, get.clone(), open.clone()], plain), (Deny, Reason::Rule, item), "3");
    assert_eq!(judge(&[set.clone(), open], plain), (Allow, Reason::Rule, rule("o/spec.ingress[0].toPorts[0]")), "4");
    assert_eq!(judge(std::slice::from_ref(&soft), plain), (Allow, Reason::NoPolicy, none.clone()), "5");
    assert_eq!(
        judge(&[soft, get], plain),
        (Allow, Reason::Rule, rule("g/spec.ingress[0].toPorts[0].rules.l7[0]")),
        "6"
    );
    assert_eq!(judge(&[foreign], plain), (Deny, Reason::ForeignRules, none.clone()), "7");
    assert_eq!(judge(&[set], plain), (Deny, Reason::NoRule, none), "8");
}

#[test]
fn deny_beats_allow_and_the_exact_port_merges_with_port_0() {
    let allow = named("a", "ingress: [{fromEndpoints: [{}]}]");
    for deny in [
        "ingressDeny: [{fromEndpoints: [{matchLabels: {app: a}}]}]",
        "ingressDeny: [{}]",
        "ingressDeny: [{toPorts: [{ports: [{port: '0'}]}]}]",
        "ingressDeny: [{toPorts: [{ports: [{port: '11211'}]}]}]",
    ] {
        assert!(!admits(&[&allow, &named("d", deny)], peer("app=a")), "{deny}");
    }
    let elsewhere = named("d", "ingressDeny: [{toPorts: [{ports: [{port: '11212'}]}]}]");
    assert!(admits(&[&allow, &elsewhere], peer("app=a")));
    assert!(admits(&[&allow, &named("d", "ingressDeny: [{fromEndpoints: [{matchLabels: {app: b}}]}]")], peer("app=a")));

    let exact =
        named("e", "ingress: [{toPorts: [{ports: [{port: '11211'}], rules: {l7proto: kv, l7: [{command: set}]}}]}]");
    let any = named("z", "ingress: [{toPorts: [{ports: [{port: '0'}], rules: {l7proto: kv, l7: [{command: get}]}}]}]");
    let snapshot = compile(&[&exact, &any]).snapshot;
    assert!(from(peer("app=a")).allows(&snapshot, "get", "x") && from(peer("app=a")).allows(&snapshot, "set", "x"));
}

#[test]
fn a_rule_without_l7_opens_the_port() {
    let l7 =
        named("a", "ingress: [{toPorts: [{ports: [{port: '11211'}], rules: {l7proto: kv, l7: [{command: set}]}}]}]");
    let l4 = named("b", "ingress: [{toPorts: [{ports: [{port: '11211'}]}]}]");
    let compiled = compile(&[&l7, &l4]);
    assert!(from(peer("app=a")).allows(&compiled.snapshot, "get", "x"));
    assert!(
        compiled.warnings.iter().any(|warning| warning.to_string().contains("has no effect")),
        "{:?}",
        compiled.warnings
    );
    assert!(!admits(&[&l7], peer("app=a")));
}

#[test]
fn default_verdicts() {
    let open = CompileOptions { default: DefaultVerdict::Allow, l7proto: None };
    let nobody = named("a", "ingress: []").replace("app: memcached", "app: other");
    let snapshot = try_compile(&[&nobody], &open).unwrap().snapshot;
    assert!(from(peer("app=a")).allows(&snapshot, "get", "x"));
    let decision = from(peer("app=a")).judge(&compile(&[&nobody]).snapshot, "get", "x");
    assert_eq!((decision.outcome, decision.reason), (Outcome::Deny, Reason::NoPolicy));

    let soft = "enableDefaultDeny: {ingress: false}\ningressDeny: [{fromEndpoints: [{matchLabels: {app: b}}]}]";
    assert!(admits(&[&spec(soft)], peer("app=a")) && !admits(&[&spec(soft)], peer("app=b")));
    let hard = named("h", "enableDefaultDeny: {ingress: true}\negress: []");
    assert!(!admits(&[&spec(soft), &hard], peer("app=a")));
    assert_eq!(Snapshot::default().generation(), 0);
    assert!(!from(peer("app=a")).allows(&Snapshot::default(), "get", "x"));
}

#[test]
fn egress_is_judged_by_its_own_rules() {
    let text = spec("egress: [{toEndpoints: [{matchLabels: {app: db}}]}]");
    let snapshot = compile(&[&text]).snapshot;
    let ask = |traffic, remote| Ask { traffic, ..from(remote) };
    assert!(ask(Traffic::Egress, peer("app=db")).allows(&snapshot, "get", "x"));
    assert!(!ask(Traffic::Egress, peer("app=x")).allows(&snapshot, "get", "x"));
    assert!(!ask(Traffic::Ingress, peer("app=db")).allows(&snapshot, "get", "x"));
}

#[test]
fn requirements_narrow_what_labels_grant_and_grant_nothing() {
    let allow = named("a", "ingress: [{fromEndpoints: [{matchLabels: {app: a}}]}]");
    let require = named("r", "ingress: [{fromRequires: [{matchLabels: {env: prod}}]}]");
    assert!(!admits(&[&require], peer("env=prod")));
    assert!(admits(&[&allow, &require], peer("app=a,env=prod")));
    assert!(!admits(&[&allow, &require], peer("app=a,env=dev")));
    assert!(admits(&[&allow], peer("app=a,env=dev")));
}

#[test]
fn requirements_of_one_policy_do_not_narrow_what_another_denies() {
    let items = "l7proto: kv, l7: [{keyPrefix: public}], deny: [{keyPrefix: public/secret}]";
    let guard = format!(
        "apiVersion: portcullis.dev/v1\nkind: L7Policy\nmetadata: {{name: g}}\nspec:\n  endpointSelector: {{}}\n  ingress:\n  \
         - fromEndpoints: [{{}}]\n    toPorts: [{{ports: [{{port: '11211'}}], rules: {{{items}}}}}]\n  - fromCIDR: [192.0.2.0/24]\n"
    );
    let require = named("r", "ingress: [{fromRequires: [{matchLabels: {env: prod}}]}]");
    let remote = Identity { address: "192.0.2.1".parse().ok(), ..peer("env=dev") };
    for policies in [&[guard.as_str()][..], &[&guard, &require]] {
        let snapshot = compile(policies).snapshot;
        assert!(!from(remote.clone()).allows(&snapshot, "get", "public/secret/x"));
    }
}

#[test]
fn networks_and_their_exceptions() {
    let text = spec(
        "ingress: [{fromCIDRSet: [{cidr: 10.0.0.0/8, except: [10.96.0.0/12]}]}, {fromCIDR: ['2001:db8::/32', 192.0.2.7]}]",
    );
    for (ip, allowed) in [
        ("10.1.2.3", true),
        ("10.96.0.1", false),
        ("11.0.0.1", false),
        ("::ffff:10.1.2.3", true),
        ("2001:db8::1", true),
        ("2001:db9::1", false),
        ("192.0.2.7", true),
        ("192.0.2.8", false),
    ] {
        assert_eq!(admits(&[&text], address(ip)), allowed, "{ip}");
    }
    let known = |who: &str| Identity { address: Some("10.1.2.3".parse().unwrap()), ..peer(who) };
    assert!(admits(&[&text], known("role=partner")));
    assert!(!admits(&[&text], known("role=pod,k8s:io.kubernetes.pod.namespace=default")));
    assert!(!admits(&[&text], known("reserved:host")));
    assert!(
        refusals(&spec("ingress: [{fromCIDRSet: [{cidr: 10.0.0.0/8, except: [11.0.0.0/16]}]}]")).contains("is not in")
    );
}

#[test]
fn namespaces_bound_policies() {
    let text = spec("ingress: [{fromEndpoints: [{matchLabels: {app: a}}]}]")
        .replace("{name: p}", "{name: p, namespace: blue}");
    let ask = |endpoint, who| Ask { endpoint, ..from(peer(who)) };
    let snapshot = compile(&[&text]).snapshot;
    let (blue, red) =
        ("app=memcached,io.kubernetes.pod.namespace=blue", "app=memcached,io.kubernetes.pod.namespace=red");
    assert!(ask(blue, "app=a,k8s:io.kubernetes.pod.namespace=blue").allows(&snapshot, "get", "x"));
    assert!(!ask(blue, "app=a,k8s:io.kubernetes.pod.namespace=red").allows(&snapshot, "get", "x"));
    assert!(!ask(blue, "app=a").allows(&snapshot, "get", "x"));
    assert!(!ask(red, "app=a,k8s:io.kubernetes.pod.namespace=blue").allows(&snapshot, "get", "x"));

    let across = text.replace("{app: a}", "{'k8s:io.kubernetes.pod.namespace': red}");
    assert!(ask(blue, "app=a,k8s:io.kubernetes.pod.namespace=red").allows(&compile(&[&across]).snapshot, "get", "x"));
    let wide = across.replace("CiliumNetworkPolicy", "CiliumClusterwideNetworkPolicy").replace(", namespace: blue", "");
    assert!(ask(red, "app=a,k8s:io.kubernetes.pod.namespace=red").allows(&compile(&[&wide]).snapshot, "get", "x"));
    let decision = ask(blue, "app=a,k8s:io.kubernetes.pod.namespace=blue").judge(&snapshot, "get", "x");
    assert_eq!(snapshot.rule(decision.rule.unwrap()).unwrap().name, "blue/p/spec.ingress[0]");
}

#[test]
fn rules_for_another_protocol_admit_nothing_and_are_warned_of() {
    let text = spec("ingress: [{toPorts: [{ports: [{port: '11211'}], rules: {l7proto: other, l7: [{}]}}]}]");
    let compiled =
        try_compile(&[&text], &CompileOptions { default: DefaultVerdict::Deny, l7proto: Some("kv") }).unwrap();
    assert!(compiled.warnings.iter().any(|warning| warning.message.contains("for `other`")), "{:?}", compiled.warnings);
    let decision = from(peer("app=a")).judge(&compiled.snapshot, "get", "x");
    assert_eq!((decision.outcome, decision.reason), (Outcome::Deny, Reason::ForeignRules));
    let mixed = named("q", "ingress: [{toPorts: [{ports: [{port: '0'}], rules: {l7proto: kv, l7: [{}]}}]}]");
    let errors = try_compile(&[&text, &mixed], &CompileOptions::default()).unwrap_err().to_string();
    assert!(
        errors.starts_with("1.yaml:") && errors.contains("speaks `other`") && errors.contains("0.yaml:"),
        "{errors}"
    );
}

#[test]
fn all_errors_are_shown_with_their_places() {
    let errors = refusals(&spec(
        "
ingress:
- fromEndpoint: []
  toPorts:
  - ports: [{port: http}]
    rules:
      l7proto: kv
      l7: [{command: get, kye: x}, {command: 7}]
- icmps: []
- toPorts:
  - ports: [{port: '80'}]
    rules: {l7proto: nope, l7: [{a: b}]}
",
    ));
    let wanted = [
        "0.yaml:7:5: p/spec.ingress[0]: unknown field `fromEndpoint`; allowed are `fromEndpoints`",
        "0.yaml:9:15: p/spec.ingress[0].toPorts[0].ports[0]: the port `http` is not a number; named ports",
        "0.yaml:13:5: p/spec.ingress[1]: `icmps` cannot be enforced: only TCP",
        "0.yaml:16:35: p/spec.ingress[2].toPorts[0].rules.l7[0]: there is no protocol `nope`; allowed are `kv`",
    ];
    for line in wanted {
        assert!(errors.lines().any(|error| error.starts_with(line)), "{line}\nis not in\n{errors}");
    }
}

#[test]
fn faults_in_items_are_all_shown() {
    let errors = refusals(&spec(
        "ingress: [{toPorts: [{ports: [{port: '1'}], rules: {l7proto: kv, l7: [{kye: x}, {command: 7}]}}]}]",
    ));
    assert!(
        errors.contains(
            "p/spec.ingress[0].toPorts[0].rules.l7[0]: unknown field `kye`; allowed are `command`, `keyPrefix`"
        ),
        "{errors}"
    );
    assert!(errors.contains("rules.l7[1].command: wanted text, found the number `7`; put it in quotes"), "{errors}");
    let errors = refusals(&spec(
        "ingress: [{toPorts: [{ports: [{port: '1'}], rules: {l7proto: kv, l7: [{}, {command: gte}]}}]}]",
    ));
    assert!(errors.contains("rules.l7[1]: there is no command `gte`"), "{errors}");
}

#[test]
fn nulls_count_as_absent_and_are_warned_of() {
    let compiled = compile(&[&spec("ingress:\n- fromEndpoints:\n  toPorts: [{ports: [{port: '11211'}], rules: }]")]);
    assert!(from(address("192.0.2.1")).allows(&compiled.snapshot, "get", "x"));
    let warnings: Vec<_> = compiled.warnings.iter().map(ToString::to_string).collect();
    for field in ["0.yaml:7:5: p/spec.ingress[0]: `fromEndpoints`", "p/spec.ingress[0].toPorts[0]: `rules`"] {
        assert!(warnings.iter().any(|warning| warning.contains(field)), "{field}: {warnings:?}");
    }
}

#[test]
fn lists_documents_and_names() {
    let one = spec("ingress: [{fromEndpoints: [{}]}]");
    let list = format!(
        "{{\"apiVersion\": \"v1\", \"kind\": \"List\", \"items\": [{}]}}",
        r#"{"apiVersion":"cilium.io/v2","kind":"CiliumNetworkPolicy","metadata":{"name":"j","uid":null},"spec":{"endpointSelector":{},"ingress":[{}]}}"#
    );
    assert!(admits(&[&list], address("192.0.2.1")));
    let two = format!("{one}---\n{}", named("q", "ingress: [{fromEntities: [world]}]"));
    assert!(admits(&[&two], address("192.0.2.1")) && admits(&[&two], peer("app=a")));
    let errors = try_compile(&[&one, &one], &CompileOptions::default()).unwrap_err().to_string();
    assert_eq!(errors, "1.yaml:1:1: p: a policy of this name stands at 0.yaml:1:1 already; rename or remove one");
    assert!(refusals("apiVersion: v1\nkind: Service\n").contains("is not a policy"));
    assert!(refusals("just text").contains("wanted an object"));
    assert!(compile(&[""]).snapshot.content().rules.is_empty());
}

#[test]
fn files_and_directories_are_read_sorted() {
    let folder = std::env::temp_dir().join(format!("policy-sources-{}", std::process::id()));
    std::fs::create_dir_all(folder.join("sub.yaml")).unwrap();
    for name in ["b.yml", "a.yaml", "c.json", "d.txt", ".hidden.yaml"] {
        std::fs::write(folder.join(name), name).unwrap();
    }
    let names = |sources: Vec<Source>| {
        sources.into_iter().map(|source| String::from_utf8(source.text).unwrap()).collect::<Vec<_>>()
    };
    let sources = Source::load(std::slice::from_ref(&folder)).unwrap();
    assert_eq!(names(sources), ["a.yaml", "b.yml", "c.json"]);
    assert_eq!(names(Source::load(&[folder.join("d.txt")]).unwrap()), ["d.txt"]);
    let missing = Source::load(&[folder.join("nothing")]).unwrap_err().to_string();
    assert!(missing.contains("nothing: No such file"), "{missing}");
    std::fs::remove_dir_all(&folder).unwrap_or_else(|error| panic!("{error}"));
}
