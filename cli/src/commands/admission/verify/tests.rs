//! What suites mean.
#![expect(clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests fail by panicking")]

use serde_json::json;

use super::filter::Filter;
use super::play::{Count, Outcome, PlayedCase, PlayedSuite, PlayedTest};
use super::review;
use super::suite::{self, Read, Suite};

fn read(tests: &str) -> Read {
    let text = format!("kind: Suite\napiVersion: test.gatekeeper.sh/v1alpha1\ntests:\n{tests}");
    match suite::read("suite.yaml", text.as_bytes()) {
        Ok(read) => read.expect("a suite"),
        Err(errors) => panic!("{errors:?}"),
    }
}

fn suite(tests: &str) -> Suite {
    read(tests).suite
}

fn refused(tests: &str) -> Vec<String> {
    let text = format!("kind: Suite\napiVersion: test.gatekeeper.sh/v1alpha1\ntests:\n{tests}");
    let errors = suite::read("suite.yaml", text.as_bytes()).err().expect("errors");
    errors.iter().map(ToString::to_string).collect()
}

/// What is not as an assertion says, of some messages.
fn miss(assertion: &str, messages: &[&str]) -> Option<String> {
    let suite = suite(&format!("- cases: [{{assertions: [{assertion}]}}]"));
    let messages: Vec<_> = messages.iter().map(|&message| message.to_owned()).collect();
    suite.tests[0].cases[0].assertions[0].miss(&messages)
}

#[test]
fn violations_are_counted_as_assertions_say() {
    let two = ["image `a` is bad", "image `b` is bad"];
    let cases: &[(&str, &[&str], bool)] = &[
        ("{}", &two, true),
        ("{}", &[], false),
        ("{violations: yes}", &two, true),
        ("{violations: yes}", &[], false),
        ("{violations: 'yes'}", &two, true),
        ("{violations: no}", &[], true),
        ("{violations: no}", &two, false),
        ("{violations: 2}", &two, true),
        ("{violations: 1}", &two, false),
        ("{violations: 0}", &[], true),
        ("{violations: null}", &[], false),
        ("{violations: 1, message: '`a`'}", &two, true),
        ("{violations: 2, message: '`a`'}", &two, false),
        ("{violations: no, message: '`c`'}", &two, true),
        ("{violations: no, message: '`b`'}", &two, false),
        ("{message: '^IMAGE'}", &two, false),
        ("{message: '(?i)^IMAGE'}", &two, true),
        ("{message: ''}", &two, true),
        ("{message: null}", &two, true),
    ];
    for (assertion, messages, holds) in cases {
        assert_eq!(miss(assertion, messages).is_none(), *holds, "{assertion} of {messages:?}");
    }
    assert_eq!(
        miss("{violations: 3, message: bad}", &two).as_deref(),
        Some("suite.yaml:4:25: wanted exactly 3 of the violations like `bad`, there are 2")
    );
}

#[test]
fn what_is_wrong_with_a_suite_is_told_with_its_line() {
    for (tests, wanted) in [
        (
            "- cases: [{assertions: [{violations: maybe}]}]",
            "suite.yaml:4:38: tests[0].cases[0].assertions[0].violations: wanted `yes`",
        ),
        ("- cases: [{assertions: [{violations: -1}]}]", "wanted `yes`, `no`, or how many"),
        ("- cases: [{assertions: [{violations: true}]}]", "wanted `yes`, `no`, or how many"),
        ("- cases: [{assertions: [{violations: 1.5}]}]", "wanted `yes`, `no`, or how many"),
        (
            "- cases: [{assertions: [{message: '('}]}]",
            "suite.yaml:4:35: tests[0].cases[0].assertions[0].message: the regex `(`",
        ),
        ("- cases: [{assertions: [{message: 5}]}]", "message: wanted text, found the number `5`"),
        ("- cases: {name: a}", "wanted a list"),
        ("- cases: [a]", "wanted a map"),
        ("- skip: maybe", "skip: "),
        ("- template: /etc/template.yaml", "wanted a path from the directory of the suite"),
        ("- cases: [{inventory: [/etc/object.yaml]}]", "wanted a path from the directory of the suite"),
        ("- {invalid: true, cases: [{name: a}]}", "a test of an invalid constraint has no cases"),
    ] {
        let errors = refused(tests);
        assert!(errors.iter().any(|error| error.contains(wanted)), "{tests}: {errors:?}");
    }
}

#[test]
fn what_nobody_reads_is_told() {
    let notes = read("- {name: a, assertions: [], cases: [{objects: a.yaml}]}").notes;
    assert!(notes.iter().any(|note| note.starts_with("suite.yaml:4:13: nobody reads `assertions`")), "{notes:?}");
    assert!(notes.iter().any(|note| note.contains("nobody reads `objects`")), "{notes:?}");
}

#[test]
fn other_documents_are_no_suites() {
    for text in [
        "",
        "[]",
        "a",
        "{kind: Suite}",
        "{kind: Suite, apiVersion: v1}",
        "{kind: Tests, apiVersion: test.gatekeeper.sh/v1alpha1}",
    ] {
        assert!(matches!(suite::read("other.yaml", text.as_bytes()), Ok(None)), "{text}");
    }
}

#[test]
fn filters_take_tests_and_cases_by_their_names() {
    let suite = suite(
        "- {name: forbid-label, cases: [{name: missing}, {name: empty}]}\n- {name: require-label, cases: [{name: empty}]}",
    );
    let taken = |text: &str| {
        let filter = Filter::parse(Some(text)).expect("a filter");
        let tests = suite.tests.iter().filter(|test| filter.takes_test(test));
        let cases = tests.flat_map(|test| {
            test.cases
                .iter()
                .filter(|case| filter.takes_case(test, case))
                .map(|case| format!("{}/{}", test.name, case.name))
        });
        cases.collect::<Vec<_>>().join(" ")
    };
    for (text, wanted) in [
        ("", "forbid-label/missing forbid-label/empty require-label/empty"),
        ("missing", "forbid-label/missing"),
        ("^require", "require-label/empty"),
        ("empty", "forbid-label/empty require-label/empty"),
        ("//empty", "forbid-label/empty require-label/empty"),
        ("forbid//", "forbid-label/missing forbid-label/empty"),
        ("label//^missing$", "forbid-label/missing"),
        ("nothing", ""),
    ] {
        assert_eq!(taken(text), wanted, "{text}");
    }
    assert!(Filter::parse(Some("a//b//c")).is_err());
    assert!(Filter::parse(Some("(")).is_err());
}

#[test]
fn reviews_get_what_the_api_server_always_sends() {
    let object =
        json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "namespace": "shop"}});
    let mut given = json!({"request": {"object": object, "oldObject": null}});
    review::complete(&mut given).expect("a review");
    let request = &given["request"];
    assert_eq!(request["kind"], json!({"group": "apps", "version": "v1", "kind": "Deployment"}));
    assert_eq!(
        (&request["operation"], &request["name"], &request["namespace"]),
        (&json!("CREATE"), &json!("web"), &json!("shop"))
    );

    let mut given = json!({"request": {"operation": "UPDATE", "uid": "u", "name": "other", "oldObject": object}});
    review::complete(&mut given).expect("a review");
    assert_eq!((&given["request"]["operation"], &given["request"]["uid"]), (&json!("UPDATE"), &json!("u")));
    assert_eq!(given["request"]["name"], "other");

    // Parts are made up, too, even of a kind in no version.
    let mut given = json!({"request": {"kind": {"kind": "Scale"}, "object": {"kind": "Pod"}}});
    review::complete(&mut given).expect("a review");
    assert_eq!(given["request"]["kind"], json!({"group": "", "version": "v1", "kind": "Scale"}));
    assert_eq!(given["request"]["resource"], json!({"group": "", "version": "v1", "resource": "pods"}));

    for bad in [
        json!({}),
        json!({"metadata": {}, "request": {"object": {"kind": "Pod"}}}),
        json!({"request": {"object": {"kind": "Pod"}, "oldObjet": null}}),
        json!({"request": null}),
        json!({"request": []}),
        json!({"request": {}}),
        json!({"request": {"object": {}}}),
    ] {
        assert!(review::complete(&mut bad.clone()).is_err(), "{bad}");
    }
}

/// A test that cannot be run is no success, whatever its cases are.
#[test]
fn what_fails_is_counted() {
    let case = |result| PlayedCase {
        name: String::new(),
        at: String::new(),
        result,
        seconds: 0.0,
        faults: Vec::new(),
        messages: Vec::new(),
    };
    let counted = |result, invalid, cases: &[Outcome]| {
        let cases = cases.iter().map(|&result| case(result)).collect();
        let test = PlayedTest {
            name: String::new(),
            at: String::new(),
            result,
            invalid,
            seconds: 0.0,
            faults: Vec::new(),
            cases,
        };
        let Count { passed, failed, skipped } =
            Count::of([&PlayedSuite { suite: String::new(), result, seconds: 0.0, tests: vec![test] }]);
        (passed, failed, skipped)
    };
    use Outcome::{Failed, Passed, Skipped};
    assert_eq!(counted(Passed, false, &[Passed, Skipped]), (1, 0, 1));
    assert_eq!(counted(Failed, false, &[Passed, Failed]), (1, 1, 0));
    assert_eq!(counted(Failed, false, &[Skipped]), (0, 1, 1));
    assert_eq!(counted(Failed, false, &[]), (0, 1, 0));
    assert_eq!(counted(Passed, true, &[]), (1, 0, 0));
    assert_eq!(counted(Passed, false, &[]), (0, 0, 0));
}
