//! What is done about violations, and where.

use serde_json::{Value as Json, json};

use super::{EnforcementPoint, SAY, answer, compile, messages, pod, refuse, say};

fn with(spec: &Json) -> std::sync::Arc<super::Gatekeeper> {
    compile(&[SAY, &say("it", spec)])
}

#[test]
fn actions_decide_what_becomes_of_a_violation() {
    for (action, denied, warned, decided) in [
        (json!("deny"), true, false, "Say/it"),
        (json!("warn"), false, true, "warn:Say/it"),
        (json!("dryrun"), false, false, "dryrun:Say/it"),
        (json!(""), true, false, "Say/it"),
    ] {
        let ruling = answer(&with(&json!({"enforcementAction": action})), &pod("a", "b"));
        assert_eq!(ruling.denial.is_some(), denied, "{action}");
        assert_eq!(ruling.warnings, if warned { vec!["[it] no"] } else { vec![] }, "{action}");
        assert_eq!(ruling.decided_by, decided);
    }
    assert!(answer(&with(&json!({})), &pod("a", "b")).denial.is_some());
}

#[test]
fn warnings_go_with_a_denial() {
    let gatekeeper = compile(&[
        SAY,
        &say("a", &json!({"enforcementAction": "warn", "parameters": {"say": "x"}})),
        &say("b", &json!({"parameters": {"say": "y"}})),
        &say("c", &json!({"enforcementAction": "dryrun"})),
        &say("d", &json!({"parameters": {"say": "w"}})),
    ]);
    let ruling = answer(&gatekeeper, &pod("a", "b"));
    assert_eq!(ruling.denial.expect("a denial").message, "[d] w\n[b] y", "sorted by what they say");
    assert_eq!(ruling.warnings, ["[a] x"]);
    assert_eq!(ruling.decided_by, "Say/d, Say/b, dryrun:Say/c, warn:Say/a");
}

fn scoped(actions: &Json) -> Json {
    json!({"enforcementAction": "scoped", "scopedEnforcementActions": actions})
}

#[test]
fn scoped_actions_are_in_force_at_their_points() {
    let points = [EnforcementPoint::Webhook, EnforcementPoint::Audit, EnforcementPoint::Gator];
    let point = |name: &str| json!([{"name": name}]);
    for (actions, in_force) in [
        (json!([{"action": "deny", "enforcementPoints": point("validation.gatekeeper.sh")}]), [true, false, false]),
        (json!([{"action": "deny", "enforcementPoints": point("audit.gatekeeper.sh")}]), [false, true, false]),
        (json!([{"action": "deny", "enforcementPoints": point("gator.gatekeeper.sh")}]), [false, false, true]),
        (json!([{"action": "deny", "enforcementPoints": point("vap.k8s.io")}]), [false, false, false]),
        (json!([{"action": "deny", "enforcementPoints": point("*")}]), [true, true, true]),
        (json!([]), [false, false, false]),
    ] {
        let gatekeeper = with(&scoped(&actions));
        let found = points.map(|point| !messages(&gatekeeper, &pod("a", "b"), point).is_empty());
        assert_eq!(found, in_force, "{actions}");
    }
}

#[test]
fn several_actions_at_a_point_are_all_done() {
    let gatekeeper = with(&scoped(&json!([
        {"action": "warn", "enforcementPoints": [{"name": "*"}]},
        {"action": "deny", "enforcementPoints": [{"name": "audit.gatekeeper.sh"}, {"name": "validation.gatekeeper.sh"}]},
    ])));
    let ruling = answer(&gatekeeper, &pod("a", "b"));
    assert_eq!((ruling.denial.expect("a denial").message, ruling.warnings), ("[it] no".into(), vec!["[it] no".into()]));
}

#[test]
fn actions_and_points_that_nobody_knows_are_refused() {
    for (spec, expected) in [
        (json!({"enforcementAction": "block"}), "Say/it: spec.enforcementAction: `block` is not an action"),
        (json!({"enforcementAction": 1}), "wanted a text, found the number `1`"),
        (json!({"enforcementAction": "scoped"}), "`scoped` needs `scopedEnforcementActions`"),
        (
            scoped(&json!([{"action": "block", "enforcementPoints": [{"name": "*"}]}])),
            "spec.scopedEnforcementActions[0].action: `block`",
        ),
        (scoped(&json!([{"action": "scoped", "enforcementPoints": [{"name": "*"}]}])), "`scoped` is not an action"),
        (scoped(&json!([{"action": "deny"}])), "it names no `enforcementPoints`"),
        (
            scoped(&json!([{"action": "deny", "enforcementPoints": [{"name": "webhook"}]}])),
            "`webhook` is not an enforcement point",
        ),
        (scoped(&json!([{"action": "deny", "enforcementPoints": ["*"]}])), "wanted a map, found the text `*`"),
        (scoped(&json!({"action": "deny"})), "wanted a list, found a map"),
    ] {
        let found = refuse(&[SAY, &say("it", &spec)]);
        assert!(found.contains(expected), "{spec}: {found}");
    }
}
