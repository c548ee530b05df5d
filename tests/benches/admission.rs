//! What a review costs: reading its JSON and its envelope, and judging it by the image policy, with `serde_json::Value` as the
//! ruler.
//!
//! `make bench` runs all of it; `cargo bench -p portcullis-tests --bench admission -- <part of a name>` some of it.

mod table;

use std::fs;
use std::hint::black_box;
use std::path::Path;
use std::time::Duration;

use criterion::{Criterion, Throughput};
use portcullis_parsers::admission::answer;
use portcullis_parsers::admission::hooks::Hooks;
use portcullis_parsers::admission::json::Tape;
use portcullis_parsers::admission::judge::{Judge, Outcome, Verdict};
use portcullis_parsers::admission::review::{Operation, Review, Version};
use portcullis_policy::Node;
use serde_json::{Value, json};
use table::Table;

/// The sizes of the reviews, in bytes.
const SIZES: [(&str, usize); 3] = [("1.4 KB", 1_400), ("10 KB", 10_000), ("1 MB", 1_000_000)];

fn main() {
    let mut table = Table::new();
    let mut criterion = Criterion::default()
        .output_directory(&table.folder())
        .without_plots()
        .nresamples(10_000)
        .sample_size(20)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_millis(800))
        .configure_from_args();
    for (name, size) in SIZES {
        let body = review_of(size);
        read(&mut criterion, &mut table, name, &body);
        judge(&mut criterion, &mut table, name, &body);
    }
    write(&mut criterion, &mut table);
    table.print();
}

/// Reading a review: the ruler, the tape alone, and with the envelope.
fn read(criterion: &mut Criterion, table: &mut Table, size: &str, body: &[u8]) {
    let mut group = criterion.benchmark_group("review");
    group.throughput(Throughput::Bytes(body.len() as u64));
    let ruler = format!("{size}, serde_json's Value");
    group.bench_function(&ruler, |bencher| {
        bencher.iter(|| serde_json::from_slice::<Value>(black_box(body)).expect("the review is JSON"));
    });
    table.add(["review", &ruler], 1);
    let mut tape = Tape::new();
    let name = format!("{size}, tape");
    group.bench_function(&name, |bencher| {
        bencher.iter(|| tape.read(black_box(body)).expect("the review is JSON").kind());
    });
    table.add(["review", &name], 1);
    table.compare_last(&ruler);
    let name = format!("{size}, tape and envelope");
    group.bench_function(&name, |bencher| {
        bencher.iter(|| {
            let root = tape.read(black_box(body)).expect("the review is JSON");
            let review = Review::read(root).expect("the review is one");
            assert_eq!(black_box(review).operation, Operation::Create);
        });
    });
    table.add(["review", &name], 1);
    table.compare_last(&ruler);
}

/// Reading a review, and judging it by so many hooks, each of which could have been asked alone.
fn judge(criterion: &mut Criterion, table: &mut Table, size: &str, body: &[u8]) {
    let mut group = criterion.benchmark_group("review");
    group.throughput(Throughput::Bytes(body.len() as u64));
    let mut tape = Tape::new();
    for count in [1, 10, 100] {
        let hooks = image_policies(count);
        let name = format!("{size}, judged by {count}");
        group.bench_function(&name, |bencher| {
            bencher.iter(|| {
                let root = tape.read(black_box(body)).expect("the review is JSON");
                let review = Review::read(root).expect("the review is one");
                for hook in hooks.iter() {
                    assert_eq!(hook.judge(black_box(&review), None).verdict, Verdict::Allow);
                }
            });
        });
        table.add(["review", &name], 1);
        table.compare_last(&format!("{size}, serde_json's Value"));
    }
}

/// The shipped image policy of article 001, under so many names.
fn image_policies(count: usize) -> Hooks {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../envoy-config/admission/hooks/opa-image-policy.yaml");
    let text = fs::read_to_string(file).expect("the hook is there");
    let text = text.split("  tests:").next().expect("there is a first part");
    let renamed = (0..count).map(|n| {
        let text = text.replace("name: opa-image-policy", &format!("name: policy-{n}"));
        let text = text.replace("uri: /opa-image-policy", &format!("uri: /policy-{n}"));
        text.replace("validating-webhook.openpolicyagent.org", &format!("policy-{n}.example.org"))
    });
    let text = renamed.collect::<Vec<_>>().join("\n---\n");
    let documents = Node::load("hooks.yaml", text.as_bytes()).expect("the hooks are YAML");
    let (hooks, _) = Hooks::compile(&documents).expect("the hooks compile");
    hooks
}

/// Writing a denial.
fn write(criterion: &mut Criterion, table: &mut Table) {
    let mut group = criterion.benchmark_group("answer");
    let outcome = Outcome {
        verdict: Verdict::Deny,
        message: "Image 'nginx:latest' comes from untrusted registry, Image 'nginx:latest' used latest image".into(),
        reason: "Forbidden".into(),
        audit_annotations: vec![("owner".into(), "portcullis".into())],
        ..Outcome::default()
    };
    let mut out = Vec::new();
    group.bench_function("denial", |bencher| {
        bencher.iter(|| {
            out.clear();
            answer::write(&mut out, Version::V1, "705ab4f5-6393-11e8-b7cc-42010a800002", black_box(&outcome));
            out.len()
        });
    });
    table.add(["answer", "denial"], 1);
}

/// A review of a new Pod, of at most so many bytes: as the API server writes it, with the fields' managers where there is room.
fn review_of(size: usize) -> Vec<u8> {
    let write = |containers| serde_json::to_vec(&review(containers, size)).expect("it can be written");
    let (one, two) = (write(1), write(2));
    let each = two.len() - one.len();
    let containers = 1 + size.saturating_sub(one.len()) / (each + 16);
    write(containers)
}

fn review(containers: usize, size: usize) -> Value {
    json!({
        "kind": "AdmissionReview",
        "apiVersion": "admission.k8s.io/v1",
        "request": {
            "uid": "705ab4f5-6393-11e8-b7cc-42010a800002",
            "kind": {"group": "", "version": "v1", "kind": "Pod"},
            "resource": {"group": "", "version": "v1", "resource": "pods"},
            "requestKind": {"group": "", "version": "v1", "kind": "Pod"},
            "requestResource": {"group": "", "version": "v1", "resource": "pods"},
            "name": "nginx",
            "namespace": "default",
            "operation": "CREATE",
            "userInfo": {"username": "kubernetes-admin", "groups": ["system:masters", "system:authenticated"]},
            "object": pod(containers, size > 2_000),
            "oldObject": null,
            "dryRun": false,
            "options": {"kind": "CreateOptions", "apiVersion": "meta.k8s.io/v1", "fieldManager": "kubectl-create"},
        },
    })
}

fn pod(containers: usize, whole: bool) -> Value {
    let name = |n| format!("container-{n}");
    let mut pod = json!({
        "kind": "Pod",
        "apiVersion": "v1",
        "metadata": {"name": "nginx", "namespace": "default", "labels": {"run": "nginx"}},
        "spec": {
            "containers": (0..containers).map(|n| container(&name(n), whole)).collect::<Vec<_>>(),
            "restartPolicy": "Always",
            "dnsPolicy": "ClusterFirst",
            "serviceAccountName": "default",
        },
        "status": {},
    });
    if whole {
        let mut of = serde_json::Map::new();
        for n in 0..containers {
            of.insert(format!("k:{{\"name\":\"{}\"}}", name(n)), managed());
        }
        pod["metadata"]["annotations"] = json!({"note": "line one\nline two, with \"quotes\""});
        pod["metadata"]["managedFields"] = json!([{
            "manager": "kubectl-create",
            "operation": "Update",
            "apiVersion": "v1",
            "time": "2026-01-01T00:00:00Z",
            "fieldsType": "FieldsV1",
            "fieldsV1": {"f:metadata": {"f:labels": {".": {}, "f:run": {}}}, "f:spec": {"f:containers": of}},
        }]);
    }
    pod
}

fn container(name: &str, whole: bool) -> Value {
    let mut container = json!({
        "name": name,
        "image": "192.168.64.1:5000/nginx:1.25",
        "resources": {},
        "terminationMessagePath": "/dev/termination-log",
        "imagePullPolicy": "IfNotPresent",
    });
    if whole {
        container["ports"] = json!([{"name": "http", "containerPort": 80, "protocol": "TCP"}]);
        container["env"] = json!([
            {"name": "DATABASE_URL", "value": "postgres://orders.default.svc:5432/orders?sslmode=verify-full"},
            {"name": "POD_IP", "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": "status.podIP"}}},
        ]);
        container["resources"] =
            json!({"limits": {"cpu": "500m", "memory": "256Mi"}, "requests": {"cpu": "250m", "memory": "128Mi"}});
        container["volumeMounts"] = json!([
            {"name": "token", "readOnly": true, "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount"},
        ]);
        container["livenessProbe"] = json!({
            "httpGet": {"path": "/healthz", "port": 80, "scheme": "HTTP"},
            "timeoutSeconds": 1, "periodSeconds": 10, "successThreshold": 1, "failureThreshold": 3,
        });
        container["securityContext"] = json!({"runAsNonRoot": true, "allowPrivilegeEscalation": false});
    }
    container
}

/// The fields of a container that somebody manages.
fn managed() -> Value {
    let both = json!({"f:cpu": {}, "f:memory": {}});
    json!({
        ".": {}, "f:env": {".": {}, "k:{\"name\":\"DATABASE_URL\"}": {".": {}, "f:name": {}, "f:value": {}}},
        "f:image": {}, "f:imagePullPolicy": {}, "f:name": {},
        "f:livenessProbe": {
            ".": {}, "f:httpGet": {".": {}, "f:path": {}, "f:port": {}, "f:scheme": {}}, "f:periodSeconds": {},
        },
        "f:resources": {".": {}, "f:limits": both, "f:requests": both},
        "f:terminationMessagePath": {}, "f:terminationMessagePolicy": {},
    })
}
