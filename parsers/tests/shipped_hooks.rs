//! The hooks that are shipped, and the examples in their reference: they load without a warning, alone and together, pass
//! their tests, and have no rule that no test would miss.
#![expect(clippy::expect_used, clippy::panic, reason = "tests fail by panicking")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use portcullis_parsers::admission::hooks::Hooks;
use portcullis_policy::{Node, NodeError, Value};

fn path(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

fn text(at: &Path) -> String {
    std::fs::read_to_string(at).unwrap_or_else(|error| panic!("{}: {error}", at.display()))
}

/// The shipped hooks by the names of their files.
fn shipped() -> BTreeMap<String, Node> {
    let files = std::fs::read_dir(path("envoy-config/admission/hooks")).expect("the shipped hooks");
    let read = |file: PathBuf| {
        let name = file.file_stem().expect("a name").to_string_lossy().into_owned();
        let documents = Node::load(&format!("{name}.yaml"), text(&file).as_bytes());
        let mut documents = documents.unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(documents.len(), 1, "{name}: a file holds one hook");
        (name, documents.remove(0))
    };
    files.map(|file| read(file.expect("a file").path())).collect()
}

/// Compiles hooks of which nothing is to be said.
fn compile<'n>(documents: impl IntoIterator<Item = &'n Node>) -> Hooks {
    let lines = |errors: Vec<NodeError>| errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
    let (hooks, warnings) = Hooks::compile(documents).unwrap_or_else(|errors| panic!("refused:\n{}", lines(errors)));
    assert!(warnings.is_empty(), "warned of:\n{}", lines(warnings));
    hooks
}

/// What tests of hooks say that is not as it ought to be.
fn failures(hooks: &Hooks) -> Vec<String> {
    let mut failures = Vec::new();
    for hook in hooks.iter() {
        for test in hook.tests() {
            let told = hook.run_test(test).failures;
            let tell = |told: &String| format!("{}: {}: {}: {told}", test.place(), hook.name(), test.name());
            failures.extend(told.iter().map(tell));
        }
    }
    failures
}

#[test]
fn each_passes_its_tests() {
    let mut faults = Vec::new();
    for (name, document) in shipped() {
        let hooks = compile([&document]);
        let hook = hooks.iter().next().expect("a hook");
        assert_eq!(hook.name(), name, "hooks are called as their files are");
        assert!(hook.tests().len() >= 8, "{name}: {} tests are few", hook.tests().len());
        faults.extend(failures(&hooks));
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn all_load_together() {
    let documents = shipped();
    let hooks = compile(documents.values());
    assert_eq!(hooks.len(), documents.len());
    for hook in hooks.iter() {
        let found = hooks.find(hook.uri()).expect("a hook at its path");
        assert_eq!(found.name(), hook.name());
    }
}

/// Takes one rule after the other out of each hook: a test of the hook notices, or the hook does not load any more.
#[test]
fn every_rule_is_needed_by_a_test() {
    let mut idle = Vec::new();
    for (name, document) in shipped() {
        for list in ["rules", "validate", "decide", "mutate"] {
            for item in 0.. {
                let mut without = document.clone();
                let Some(rule) = remove(&mut without, list, item) else { break };
                if let Ok((hooks, _)) = Hooks::compile([&without])
                    && failures(&hooks).is_empty()
                {
                    idle.push(format!("{}: {name}: no test needs {list}[{item}]", rule.place));
                }
            }
        }
    }
    assert!(idle.is_empty(), "{}", idle.join("\n"));
}

/// Takes an item out of a list of the spec, if it has one there.
fn remove(document: &mut Node, list: &str, item: usize) -> Option<Node> {
    let Value::List(items) = &mut entry(entry(document, "spec")?, list)?.value else { return None };
    (item < items.len()).then(|| items.remove(item))
}

fn entry<'n>(node: &'n mut Node, key: &str) -> Option<&'n mut Node> {
    let Value::Map(entries) = &mut node.value else { return None };
    entries.iter_mut().find(|entry| entry.key == key).map(|entry| &mut entry.value)
}

#[test]
fn all_are_listed_with_their_paths() {
    let readme = text(&path("envoy-config/admission/README.md"));
    let rows: Vec<_> = readme.lines().filter(|line| line.starts_with("| `") && line.contains(".yaml` |")).collect();
    let documents = shipped();
    assert_eq!(rows.len(), documents.len(), "the README lists what is there and nothing else");
    for (name, document) in &documents {
        let row = rows.iter().find(|row| row.starts_with(&format!("| `{name}.yaml` |")));
        let row = row.unwrap_or_else(|| panic!("{name}.yaml is not in the README"));
        let hooks = compile([document]);
        let hook = hooks.iter().next().expect("a hook");
        let targets = hook.spec().targets.join(", ");
        let wanted = format!("| `{name}.yaml` | `{}` | {targets} |", hook.uri());
        assert!(targets.is_empty() || *row == wanted, "the README has {row}, wanted {wanted}");
    }
}

#[test]
fn the_example_of_the_reference_passes_its_tests() {
    let reference = text(&path("docs/admission-hooks.md"));
    let blocks = reference.split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next());
    let examples: Vec<_> = blocks.filter(|block| block.contains("kind: AdmissionHook")).collect();
    assert!(!examples.is_empty());
    for example in examples {
        let documents = Node::load("docs/admission-hooks.md", example.as_bytes());
        let documents = documents.unwrap_or_else(|error| panic!("{error}"));
        let hooks = compile(&documents);
        let failures = failures(&hooks);
        assert!(failures.is_empty(), "{}", failures.join("\n"));
    }
}
