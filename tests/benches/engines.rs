//! What judging a review costs, by who judges: our own rules, Rego, Gatekeeper's constraints, CEL and JavaScript.
//!
//! `make bench` runs it beside OPA (tests/bench/engines.py), which reads the lines of JSON that `--json` writes: a name, what one
//! judgement of the review costs at least in nanoseconds, and for OPA what it is to be asked.

#[global_allocator]
static ALLOCATOR: portcullis_allocator::Counting = portcullis_allocator::Counting;

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use portcullis_parsers::REGISTRY;
use portcullis_parsers::admission::hooks::{Admission, Hook};
use portcullis_parsers::admission::json::Tape;
use portcullis_parsers::admission::judge::{Judge, Verdict};
use portcullis_parsers::admission::review::Review;
use portcullis_policy::{CompileOptions, Documents, Snapshot, Source};
use serde_json::{Value, json};

/// Of the samples of a case the lowest counts: what others on the machine add is not ours.
const SAMPLES: usize = 15;
const SPAN: Duration = Duration::from_millis(30);
/// How often the library is held at a time to learn how much memory it takes.
const LIBRARIES: usize = 10;

/// A way to judge.
struct Case {
    name: String,
    documents: Vec<(String, String)>,
    review: String,
    /// Whether it is denied.
    denied: bool,
    /// The same question for OPA.
    opa: Option<Value>,
}

fn main() {
    let chosen: Vec<_> = std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect();
    for case in cases() {
        if chosen.is_empty() || chosen.iter().any(|part| case.name.contains(part)) {
            let nanos = measure(&case);
            println!("{}", json!({"name": case.name, "nanos": nanos, "opa": case.opa}));
        }
    }
    load();
}

fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for (size, bytes) in [("1.4 KB", 1_400), ("10 KB", 10_000)] {
        cases.extend(image_policies(size, &review_of(bytes)));
    }
    for count in [1, 10, 100] {
        cases.extend(required_labels(count, &review_of(10_000)));
    }
    cases.extend([10, 1_000, 10_000].map(unique_host));
    cases
}

/// The image policy of the articles: two containers or more, all from elsewhere.
fn image_policies(size: &str, review: &str) -> Vec<Case> {
    let case = |name: &str, files: &[&str], opa| Case {
        name: format!("image policy, {size}, {name}"),
        documents: files.iter().map(|file| (file_name(file), sample(file))).collect(),
        review: review.to_owned(),
        denied: true,
        opa,
    };
    let main = sample("opa/opa-default-system-main.yaml");
    let main = main.split_once("main: |\n").map_or("", |(_, text)| text).replace("\n    ", "\n");
    let opa = json!({
        "query": "data.system.main", "review": review, "parameters": [], "violations": 0,
        "modules": {"main.rego": main.trim_start(), "image-policy.rego": sample("opa/image-policy.rego")},
    });
    let mut all = vec![
        case("own rules", &["hooks/opa-image-policy.yaml"], None),
        case("Rego", &["opa/opa-default-system-main.yaml", "opa/image-policy.rego", "opa/hook.yaml"], Some(opa)),
    ];
    if cfg!(feature = "javascript") {
        all.push(case("JavaScript", &["pipy/pipy-rule.js", "pipy/hook.yaml"], None));
    }
    all
}

/// So many required labels, none of which is there: each by a rule, a constraint or a policy of its own.
fn required_labels(count: usize, review: &str) -> Vec<Case> {
    let join = |write: &dyn Fn(usize) -> String, between: &str| (0..count).map(write).collect::<Vec<_>>().join(between);
    let label = |n: usize| format!("label-{n}");
    let constraint = |kind: &str, n: usize| {
        format!(
            "apiVersion: constraints.gatekeeper.sh/v1beta1\nkind: {kind}\nmetadata: {{name: must-have-{n}}}\nspec:\n  match: \
             {{kinds: [{{apiGroups: [''], kinds: [Pod]}}]}}\n  parameters: {{labels: [{}]}}\n",
            label(n)
        )
    };
    let rego = sample("gatekeeper/required-labels-template.yaml");
    let module = rego.split_once("rego: |\n").map_or("", |(_, text)| text).replace("\n        ", "\n");
    let cel = rego
        .split_once("  targets:")
        .map_or("", |(head, _)| head)
        .replace("k8srequiredlabels", "k8scellabels")
        .replace("K8sRequiredLabels", "K8sCelLabels")
        .replace("items: string", "items: {type: string}")
        + "  targets:\n    - target: admission.k8s.gatekeeper.sh\n      code:\n      - engine: K8sNativeValidation\n        source:\n          \
           validations:\n          - expression: 'variables.params.labels.all(l, has(object.metadata.labels) && l in object.metadata.labels)'\n            \
           message: labels are missing\n";
    let policy = |n: usize| {
        format!(
            "apiVersion: admissionregistration.k8s.io/v1\nkind: ValidatingAdmissionPolicy\nmetadata: {{name: p{n}}}\nspec:\n  \
             matchConstraints: {{resourceRules: [{{apiGroups: [''], apiVersions: ['*'], operations: ['*'], resources: [pods]}}]}}\n  \
             validations: [{{expression: \"has(object.metadata.labels) && '{}' in object.metadata.labels\", message: missing}}]\n---\n\
             apiVersion: admissionregistration.k8s.io/v1\nkind: ValidatingAdmissionPolicyBinding\nmetadata: {{name: b{n}}}\nspec: \
             {{policyName: p{n}, validationActions: [Deny]}}",
            label(n)
        )
    };
    let parameters: Vec<_> = (0..count).map(|n| json!({"labels": [label(n)]})).collect();
    let opa = json!({
        "query": "data.k8srequiredlabels.deny", "review": review, "parameters": parameters, "violations": count,
        "modules": {"template.rego": module.trim_start()},
    });
    let case = |name: &str, documents: Vec<(&str, String)>, opa| Case {
        name: format!("{count} required labels, 10 KB, {name}"),
        documents: documents.into_iter().map(|(name, text)| (name.to_owned(), text)).collect(),
        review: review.to_owned(),
        denied: true,
        opa,
    };
    let own = join(&|n| format!("{{missingLabels: [{}], message: 'm {n}'}}", label(n)), ", ");
    let mut all = vec![
        case("own rules", vec![("h.yaml", hook(&format!("decide: [{{denyAll: {{of: [{own}]}}}}]")))], None),
        case(
            "Rego",
            vec![
                ("t.yaml", rego.clone()),
                ("c.yaml", join(&|n| constraint("K8sRequiredLabels", n), "---\n")),
                ("h.yaml", hook("gatekeeper: {}")),
            ],
            Some(opa),
        ),
        case(
            "CEL template",
            vec![
                ("t.yaml", cel),
                ("c.yaml", join(&|n| constraint("K8sCelLabels", n), "---\n")),
                ("h.yaml", hook("gatekeeper: {}")),
            ],
            None,
        ),
        case(
            "CEL policies",
            vec![("p.yaml", join(&policy, "\n---\n")), ("h.yaml", hook("validatingAdmissionPolicies: {}"))],
            None,
        ),
    ];
    if cfg!(feature = "javascript") {
        let script = format!(
            "const wanted = [{}];\nfunction validate(request) {{ const labels = request.object.metadata.labels || {{}};\n  const missing = \
             wanted.filter(l => !(l in labels));\n  return missing.length ? 'missing: ' + missing : true; }}\n",
            join(&|n| format!("'{}'", label(n)), ", ")
        );
        all.push(case("JavaScript", vec![("rule.js", script), ("h.yaml", hook("javascript: {file: rule.js}"))], None));
    }
    all
}

/// An Ingress whose host another one has, among so many.
fn unique_host(count: usize) -> Case {
    let ingress = |namespace: &str, name: &str, host: &str| {
        json!({"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": {"name": name, "namespace": namespace},
               "spec": {"rules": [{"host": host, "http": {"paths": [{"path": "/"}]}}, {"host": format!("www.{host}")}]}})
    };
    let of = |n: usize| (format!("ns-{}", n % 50), format!("i-{n}"), format!("host-{n}.example.com"));
    let mut inventory = json!({});
    let mut objects = String::new();
    for n in 0..count {
        let (namespace, name, host) = of(n);
        let object = ingress(&namespace, &name, &host);
        objects += &format!("---\n{object}\n");
        inventory[&namespace]["networking.k8s.io/v1"]["Ingress"][&name] = object;
    }
    let review = json!({"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1", "request": {
        "uid": "705ab4f5-6393-11e8-b7cc-42010a800002", "kind": {"group": "networking.k8s.io", "version": "v1", "kind": "Ingress"},
        "resource": {"group": "networking.k8s.io", "version": "v1", "resource": "ingresses"}, "name": "new", "namespace": "ns-1",
        "operation": "CREATE", "userInfo": {"username": "kubernetes-admin"}, "object": ingress("ns-1", "new", &of(7).2),
        "oldObject": null, "dryRun": false}});
    let suite = Path::new("../../tests/gatekeeper/unique-host");
    let rego = sample(suite.join("template.yaml"));
    let module = rego.split_once("rego: |\n").map_or("", |(_, text)| text).replace("\n        ", "\n");
    // OPA has inventories under `data.inventory` as Gatekeeper gives them to it.
    let opa = json!({
        "query": "data.uniquehost.violation", "review": review.to_string(), "parameters": [{}], "violations": 2,
        "modules": {"template.rego": module.trim_start()}, "data": {"inventory": {"namespace": inventory}},
    });
    let config = "apiVersion: config.gatekeeper.sh/v1alpha1\nkind: Config\nmetadata: {name: config}\nspec: {sync: {syncOnly: [{group: \
                  networking.k8s.io, version: v1, kind: Ingress}]}}\n";
    let documents = [
        ("t.yaml", rego),
        ("c.yaml", sample(suite.join("constraint.yaml"))),
        ("config.yaml", config.to_owned()),
        ("i.yaml", objects),
        ("h.yaml", hook("gatekeeper: {}")),
    ];
    Case {
        name: format!("unique host among {count}, Rego"),
        documents: documents.map(|(name, text)| (name.to_owned(), text)).into(),
        review: review.to_string(),
        denied: true,
        opa: Some(opa),
    }
}

fn hook(engine: &str) -> String {
    format!(
        "apiVersion: portcullis.dev/v1\nkind: AdmissionHook\nmetadata: {{name: bench}}\nspec:\n  uri: /bench\n  doc: For the \
         bench.\n  failurePolicy: Ignore\n  rules: [{{operations: ['*'], apiGroups: ['*'], apiVersions: ['*'], resources: \
         ['*']}}]\n  {engine}\n"
    )
}

fn measure(case: &Case) -> u64 {
    let sources: Vec<_> =
        case.documents.iter().map(|(name, text)| Source::new(name.as_str(), text.as_bytes())).collect();
    let compiled = Snapshot::compile(&sources, &REGISTRY, &CompileOptions::default());
    let compiled = compiled.unwrap_or_else(|errors| panic!("{}: {errors}", case.name));
    let admission = compiled.snapshot.documents().iter().find_map(Documents::downcast_ref::<Admission>).expect("hooks");
    let hook = admission.hooks.iter().next().expect("a hook");
    let mut tape = Tape::new();
    let mut judge = || {
        let review = Review::read(tape.read(case.review.as_bytes()).expect("JSON")).expect("a review");
        let hook: &Hook = hook;
        let outcome = hook.judge(&review, None);
        let wanted = if case.denied { Verdict::Deny } else { Verdict::Allow };
        assert_eq!(outcome.verdict, wanted, "{}: {}", case.name, outcome.message);
    };
    for _ in 0..5 {
        judge();
    }
    let sample = |_| {
        let (mut rounds, start) = (0_u32, Instant::now());
        while start.elapsed() < SPAN {
            judge();
            rounds += 1;
        }
        start.elapsed() / rounds
    };
    let best = (0..SAMPLES).map(sample).min().unwrap_or_default();
    u64::try_from(best.as_nanos()).unwrap_or(u64::MAX)
}

/// What Gatekeeper's public library costs to load, where it was fetched.
fn load() {
    let Ok(folder) = std::env::var("PORTCULLIS_GATEKEEPER_LIBRARY") else { return };
    let mut sources = Vec::new();
    let mut folders = vec![Path::new(&folder).join("library")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("the library").flatten() {
            match entry.path() {
                path if path.is_dir() => folders.push(path),
                path if path.ends_with("template.yaml") => {
                    sources.push(Source::new(path.to_string_lossy(), fs::read(&path).expect("a template")));
                }
                _ => {}
            }
        }
    }
    let compile = || Snapshot::compile(&sources, &REGISTRY, &CompileOptions::default()).expect("the library compiles");
    let mut best = Duration::MAX;
    for _ in 0..5 {
        let start = Instant::now();
        let compiled = compile();
        best = best.min(start.elapsed());
        drop(compiled);
    }
    // Threads of the compiler allocate what is kept, so that no thread can tell how much it is. What several more take tells.
    let before = resident();
    let kept: Vec<_> = (0..LIBRARIES).map(|_| compile()).collect();
    let bytes = resident().saturating_sub(before) / LIBRARIES;
    drop(kept);
    let nanos = u64::try_from(best.as_nanos()).unwrap_or(u64::MAX);
    println!("{}", json!({"name": "load", "templates": sources.len(), "nanos": nanos, "bytes": bytes}));
}

/// Bytes of memory that the process has; 0 where the system does not say.
fn resident() -> usize {
    const PAGE: usize = 4096;
    let told = fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages: Option<usize> = told.split_whitespace().nth(1).and_then(|pages| pages.parse().ok());
    pages.unwrap_or(0) * PAGE
}

fn sample(file: impl AsRef<Path>) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../envoy-config/admission").join(file);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn file_name(file: &str) -> String {
    file.rsplit('/').next().unwrap_or(file).to_owned()
}

/// A review of a Pod, about so long, with the fields' managers that a real one has.
fn review_of(bytes: usize) -> String {
    let container = |n: usize| {
        json!({"name": format!("c{n}"), "image": "nginx:1.21.1", "resources": {"limits": {"cpu": "100m", "memory": "30Mi"}},
               "env": [{"name": "A", "value": "an entry of the environment"}, {"name": "B", "value": "another entry"}]})
    };
    let review = |fill: usize| {
        let managed: Vec<_> = (0..fill).map(|n| json!({format!("f:field-{n}"): {"f:nested": {}}})).collect();
        json!({"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1", "request": {
            "uid": "705ab4f5-6393-11e8-b7cc-42010a800002", "kind": {"group": "", "version": "v1", "kind": "Pod"},
            "resource": {"group": "", "version": "v1", "resource": "pods"}, "name": "p", "namespace": "default", "operation": "CREATE",
            "userInfo": {"username": "kubernetes-admin", "groups": ["system:masters", "system:authenticated"]},
            "object": {"apiVersion": "v1", "kind": "Pod",
                "metadata": {"name": "p", "namespace": "default", "labels": {"app": "web"}, "managedFields": [{"fieldsV1": managed, "manager": "kubectl"}]},
                "spec": {"containers": (0..2 + bytes / 2_000).map(container).collect::<Vec<_>>()}},
            "oldObject": null, "dryRun": false, "options": {"kind": "CreateOptions", "apiVersion": "meta.k8s.io/v1"}}})
        .to_string()
    };
    let mut fill = 0;
    while review(fill).len() < bytes {
        fill += 1 + (bytes - review(fill).len()) / 60;
    }
    review(fill)
}
