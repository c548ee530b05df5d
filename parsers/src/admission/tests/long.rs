//! Judgements that take long: they are made elsewhere, and the connection waits.

use std::sync::Mutex;
use std::time::Duration;

use portcullis_policy::{CompileOptions, PolicyStore, Snapshot, Source};
use portcullis_proxylib::testing::Recorder;
use portcullis_proxylib::{Datapath, Direction, Executor, Instance, Job, Registry, Time, Wake};

use super::*;

/// Keeps jobs until they are run by hand.
#[derive(Default)]
struct Shelf(Mutex<Vec<Job>>);

impl Executor for Shelf {
    fn execute(&self, job: Job) {
        self.0.lock().unwrap().push(job);
    }
}

struct Rig {
    shelf: Arc<Shelf>,
    recorder: Arc<Recorder>,
    policy: Arc<PolicyStore>,
    datapath: Datapath,
}

static NOW: Mutex<Duration> = Mutex::new(Duration::ZERO);

/// The tests of this module set the time.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

fn rig(config: Value) -> Rig {
    let scenario = scenario(config, json!([]));
    let (shelf, recorder) = (Arc::new(Shelf::default()), Arc::new(Recorder::default()));
    let registry: Registry = REGISTRY;
    let mut instance: Instance = testing::CoreHost::new(registry).instance(&scenario, &recorder).unwrap();
    instance.executor = Some(Arc::clone(&shelf) as Arc<dyn Executor>);
    instance.clock = Some(|| *NOW.lock().unwrap());
    let policy = Arc::clone(&instance.policy);
    let connection = Arc::new(instance).open(scenario.meta().unwrap()).unwrap();
    let mut datapath = Datapath::new(connection);
    let wake: Wake = Arc::new(|| ());
    datapath.attach(wake);
    Rig { shelf, recorder, policy, datapath }
}

impl Rig {
    fn client(&mut self, bytes: &str) -> String {
        let effects = self.datapath.receive(Direction::Orig, &[bytes.as_bytes()], false, Time(0));
        String::from_utf8(effects.to_client.to_vec()).unwrap()
    }

    /// Runs what was handed over, and goes on.
    fn work(&mut self) -> String {
        for job in std::mem::take(&mut *self.shelf.0.lock().unwrap()) {
            job();
        }
        let effects = self.datapath.resume(Time(0));
        String::from_utf8(effects.to_client.to_vec()).unwrap()
    }
}

#[test]
fn a_judgement_that_takes_long_holds_up_its_connection_alone() {
    let _guard = ONE_AT_A_TIME.lock();
    let mut rig = rig(json!({"callers": "anonymous"}));
    let requests = post("/slow", &review("bad")) + &post("/check", &review("good"));
    assert_eq!(rig.client(&requests), "");
    assert!(rig.datapath.requests_wait());
    // Whoever is called again before the job is done goes on waiting, and starts no second one.
    assert_eq!(String::from_utf8(rig.datapath.resume(Time(0)).to_client.to_vec()).unwrap(), "");
    assert_eq!(rig.shelf.0.lock().unwrap().len(), 1);
    *NOW.lock().unwrap() += Duration::from_millis(7);
    let seen = Observed { to_client: rig.work().into_bytes(), ..Observed::default() };
    let answers = answers(&seen);
    assert!(answers[0].1.contains("it is bad") && answers[1].1.contains(r#""allowed":true"#), "{answers:?}");
    assert_eq!(rig.recorder.lines()[0]["fields"]["micros"], "7000");
    assert!(!rig.datapath.requests_wait());
}

#[test]
fn a_judgement_that_is_lost_or_late_denies() {
    let _guard = ONE_AT_A_TIME.lock();
    let mut rig = rig(json!({"callers": "anonymous"}));
    for (request, late, words) in [
        (post("/lost", &review("lost")), 0, "the judgement was lost"),
        (post("/slow?timeout=10s", &review("good")), 8_001, "took longer"),
    ] {
        assert_eq!(rig.client(&request), "");
        *NOW.lock().unwrap() += Duration::from_millis(late);
        let answer = rig.work();
        assert!(
            answer.contains(r#""allowed":false"#) && answer.contains(r#""code":500"#) && answer.contains(words),
            "{answer}"
        );
    }
    rig.client(&post("/slow?timeout=10s", &review("good")));
    *NOW.lock().unwrap() += Duration::from_millis(8_000);
    assert!(rig.work().contains(r#""allowed":true"#));
    // The judge says what becomes of it.
    rig.client(&post("/lenient?timeout=10s", &review("bad")));
    *NOW.lock().unwrap() += Duration::from_millis(8_001);
    assert!(rig.work().contains(r#""allowed":true"#));
    assert_eq!(rig.recorder.lines().last().unwrap()["fields"]["verdict"], "excused");
    // Who cannot run it never gets it judged, and what is thrown away is lost.
    rig.client(&post("/slow", &review("good")));
    rig.shelf.0.lock().unwrap().clear();
    assert!(rig.work().contains("the judgement was lost"));
}

#[test]
fn the_policy_that_is_in_force_when_a_judgement_is_done_lets_the_caller_call() {
    let _guard = ONE_AT_A_TIME.lock();
    let mut rig = rig(json!({"callers": "anonymous"}));
    rig.client(&post("/slow", &review("good")));
    let options = CompileOptions { l7proto: Some("admission"), ..CompileOptions::default() };
    let none = r#"{"apiVersion": "cilium.io/v2", "kind": "CiliumNetworkPolicy", "metadata": {"name": "p"}, "spec": {"endpointSelector": {}, "ingress": []}}"#;
    rig.policy.store(Snapshot::compile(&[Source::new("none", none.as_bytes())], &REGISTRY, &options).unwrap().snapshot);
    let answer = rig.work();
    assert!(answer.starts_with("HTTP/1.1 403 "), "{answer}");
    assert!(rig.client(&post("/slow", &review("good"))).starts_with("HTTP/1.1 403 "));
}

#[test]
fn a_judgement_that_nobody_waits_for_is_not_begun_and_keeps_nothing() {
    let _guard = ONE_AT_A_TIME.lock();
    let mut rig = rig(json!({"callers": "anonymous"}));
    rig.client(&post("/slow", &review("good")));
    let shelf = Arc::clone(&rig.shelf);
    drop(rig);
    let jobs = std::mem::take(&mut *shelf.0.lock().unwrap());
    assert_eq!(jobs.len(), 1);
    jobs.into_iter().for_each(|job| job());
    assert_eq!(JUDGED.get(), 0);
}

#[test]
fn what_a_judgement_comes_to_is_for_its_own_request() {
    let _guard = ONE_AT_A_TIME.lock();
    let mut rig = rig(json!({"callers": "anonymous", "mode": "shadow"}));
    rig.client(&post("/slow", &review("bad")));
    // The hook goes while it judges.
    let options = CompileOptions { l7proto: Some("admission"), ..CompileOptions::default() };
    let mut policy = scenario(json!({}), json!([])).policy;
    policy[1]["spec"]["tokens"][0]["name"] = json!(WITHOUT_SLOW);
    let text = json!({"apiVersion": "v1", "kind": "List", "items": policy}).to_string();
    rig.policy.store(Snapshot::compile(&[Source::new("new", text.as_bytes())], &REGISTRY, &options).unwrap().snapshot);
    rig.work();
    rig.client(&post("/check", &review("good")));
    let lines = rig.recorder.lines();
    let fields: Vec<_> = lines.iter().map(|line| (&line["fields"]["hook"], &line["fields"]["verdict"])).collect();
    assert_eq!(fields, [(&Value::Null, &Value::Null), (&json!("check"), &json!("allowed"))]);
}

#[test]
fn where_there_are_no_threads_it_is_made_in_place() {
    let seen = ask(&(post("/slow", &review("bad")) + &post("/slow", &review("good"))));
    assert_eq!(codes(&seen), [200, 200]);
    assert!(answers(&seen)[0].1.contains("it is bad"));
}
