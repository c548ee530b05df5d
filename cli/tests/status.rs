//! `portcullis status` and `portcullis top`.

#[path = "replay_support/example.rs"]
mod example;
#[path = "replay_support/mod.rs"]
mod mod_capture;
#[path = "replay_support/run.rs"]
mod run;

use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::Command;
use std::time::{Duration, Instant};

use run::{check_page, run, run_json};
use serde_json::json;

fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a directory");
    example::make(folder.path());
    folder
}

#[test]
fn the_pages_show_what_the_program_writes() {
    let folder = folder();
    check_page("status.md", folder.path());
    check_page("top.md", folder.path());
}

#[test]
fn a_listener_that_is_not_well_is_told_and_ends_in_one() {
    let folder = folder();
    let write = |text: &str| std::fs::write(folder.path().join("s.json"), text).expect("a file");
    let good = r#"{"status":"ok","generation":7,"hash":"9f","since":1769884200,"age":12,"refused":0}"#;
    for (text, code, wanted) in [
        (good.to_owned(), 0, "ok"),
        (good.replace("\"ok\"", "\"error\",\"error\":\"a.yaml:7:5: no\""), 1, "a.yaml:7:5: no"),
        (good.replace("\"refused\":0", "\"refused\":1,\"held\":[\"fleet\"]"), 0, "held back: fleet"),
        (good.replace("\"refused\":0", "\"refused\":0,\"breakGlass\":\"2026-01-31T18:30:00Z\""), 1, "until 2026-01-31"),
        ("{}".to_owned(), 3, "no status file of a listener"),
        ("nonsense".to_owned(), 3, "no status file of a listener"),
    ] {
        write(&text);
        let ran = run(folder.path(), &["status", "--status-file", "s.json"]);
        assert_eq!(ran.code, code, "{text}: {}{}", ran.out, ran.err);
        assert!((ran.out + &ran.err).contains(wanted), "{wanted}");
    }
    write(good);
    let old = std::time::SystemTime::now() - Duration::from_secs(300);
    let file = std::fs::File::options().write(true).open(folder.path().join("s.json")).expect("a file");
    file.set_modified(old).expect("a time");
    let ran = run(folder.path(), &["status", "--status-file", "s.json"]);
    assert_eq!((ran.code, ran.out.contains("not written for 5 min")), (1, true), "{}", ran.out);
}

#[test]
fn what_can_be_looked_at_is_told_when_the_rest_cannot() {
    let folder = folder();
    let args =
        ["status", "--status-file", "nowhere", "--metrics", "http://127.0.0.1:1/", "--access-log", "access.jsonl"];
    let ran = run(folder.path(), &args);
    assert_eq!(ran.code, 3);
    assert!(ran.out.contains("set empire/deathstar"), "{}", ran.out);
    assert!(ran.err.contains("nowhere") && ran.err.contains("does not answer"), "{}", ran.err);
    assert_eq!(run(folder.path(), &["status"]).code, 2);
    assert_eq!(run(folder.path(), &["status", "--metrics", "policy.yaml"]).code, 3);
    let (value, code) = run_json(folder.path(), &["status", "--access-log", "access.jsonl"]);
    assert_eq!(
        (code, &value["protocols"]),
        (0, &json!([{"protocol": "memcache", "requests": 3, "denied": 2, "watched": 0, "errors": 0}]))
    );
    assert_eq!(value["denials"][1]["request"], "flush_all");
}

#[test]
fn metrics_come_over_http() {
    let folder = folder();
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}/stats/prometheus", listener.local_addr().expect("an address"));
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a client");
        let mut request = [0; 1024];
        let _ = stream.read(&mut request).expect("a request");
        let body = include_str!("replay_support/example/metrics.txt")
            .replace("policy_bad{l7proto=\"memcache\"} 0", "policy_bad{l7proto=\"memcache\"} 1");
        write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len())
            .expect("sent");
    });
    let (value, code) = run_json(folder.path(), &["status", "--metrics", &url]);
    server.join().expect("served");
    assert_eq!((code, &value["well"]), (1, &json!(false)));
    assert_eq!((&value["protocols"][0]["requests"], &value["protocols"][0]["bad"]), (&json!(4192), &json!(1)));
}

#[test]
fn a_log_cannot_steer_the_terminal() {
    let folder = folder();
    let hostile = r#"{"v":1,"time":"2026-01-31T02:42:10.001Z","type":"request","verdict":"denied","protocol":"m\u001b[2J","direction":"ingress","connection":2,"source":"192.0.2.7:1025","port":1,"remote":{"knownBy":"address","labels":{"a\u001b]0;x\u0007":"\u202e"}},"reason":"\u001b[31m","fields":{"command":"get\u009b","keys":["\u001b[1A"]}}"#;
    std::fs::write(folder.path().join("log"), hostile).expect("a file");
    for command in [&["status"][..], &["top", "--once"]] {
        let ran = run(folder.path(), &[command, &["--access-log", "log"]].concat());
        assert_eq!(ran.code, 0, "{}", ran.err);
        assert!(ran.out.chars().all(|c| c == '\n' || (' '..='~').contains(&c)), "{:?}", ran.out);
    }
}

#[test]
fn top_needs_a_terminal_and_people() {
    let folder = folder();
    let args = ["top", "--access-log", "access.jsonl"];
    assert_eq!(run(folder.path(), &args).code, 2);
    assert_eq!(run(folder.path(), &[&["-o", "json"], &args[..]].concat()).code, 2);
    assert_eq!(run(folder.path(), &["top", "--once"]).code, 2);
    assert_eq!(run(folder.path(), &["top", "--every", "0", "--access-log", "access.jsonl"]).code, 2);
}

/// In a real terminal: what it draws, that it follows the log, and that `q` gives the terminal back.
#[test]
fn top_redraws_in_place_and_restores_the_terminal() {
    if Command::new("tmux").arg("-V").output().is_err() {
        eprintln!("SKIPPED: top_redraws_in_place_and_restores_the_terminal: there is no tmux");
        return;
    }
    let folder = folder();
    let socket = folder.path().join("tmux");
    let tmux = |args: &[&str]| {
        let output = Command::new("tmux").arg("-S").arg(&socket).args(args).output().expect("tmux runs");
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let program = env!("CARGO_BIN_EXE_portcullis");
    let start = format!("cd '{}'; PS1='ready> ' exec sh", folder.path().display());
    tmux(&["-f", "/dev/null", "new-session", "-d", "-x", "110", "-y", "24", &start]);
    let wait = |wanted: &dyn Fn(&str) -> bool| {
        let end = Instant::now() + Duration::from_secs(30);
        loop {
            let screen = tmux(&["capture-pane", "-p"]);
            if wanted(&screen) {
                return screen;
            }
            assert!(Instant::now() < end, "{screen}");
            std::thread::sleep(Duration::from_millis(100));
        }
    };
    wait(&|screen| screen.contains("ready>"));
    tmux(&["send-keys", &format!("'{program}' top --every 1 --access-log access.jsonl"), "Enter"]);
    let first = wait(&|screen| screen.contains("q quits"));
    assert!(
        first.contains("last denials") && first.contains("set empire/deathstar") && !first.contains("ready>"),
        "{first}"
    );
    let more = std::fs::read_to_string(folder.path().join("access.jsonl"))
        .expect("a file")
        .replace("empire/deathstar", "empire/new");
    let mut log = std::fs::File::options().append(true).open(folder.path().join("access.jsonl")).expect("a file");
    log.write_all(more.as_bytes()).expect("written");
    let second = wait(&|screen| screen.contains("set empire/new"));
    assert_eq!(second.matches("last denials").count(), 1, "redrawn in place: {second}");
    tmux(&["resize-window", "-x", "40", "-y", "10"]);
    wait(&|screen| screen.lines().next().is_some_and(|line| line.contains("protocols")) && screen.contains("q quits"));
    tmux(&["send-keys", "q"]);
    wait(&|screen| screen.contains("ready>") && !screen.contains("q quits"));
    tmux(&["send-keys", "stty -a", "Enter"]);
    // On a screen this narrow the words may be apart.
    wait(&|screen| screen.replace('\n', " ").contains(" echo "));
    tmux(&["kill-server"]);
}
