//! `portcullis admission certs`: what is issued is what TLS libraries take, and nothing is written over.
#![expect(clippy::expect_used, reason = "tests fail by panicking")]
#![cfg(unix)]

mod common;

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use common::{Ran, portcullis};

fn certs(dir: &Path, args: &[&str]) -> Ran {
    portcullis(dir, &[&["admission", "certs"], args].concat())
}

fn read(dir: &Path, file: &str) -> String {
    std::fs::read_to_string(dir.join("certs").join(file)).expect(file)
}

/// `openssl verify`, where there is one.
fn verify(dir: &Path, args: &[&str]) -> Option<bool> {
    let ran = Command::new("openssl").arg("verify").args(args).current_dir(dir.join("certs")).output();
    match ran {
        Ok(ran) => Some(ran.status.success()),
        Err(_) => {
            eprintln!("there is no openssl: not verified");
            None
        }
    }
}

const PRIVATE: [&str; 4] = ["ca.key", "tls.key", "callers-ca.key", "client.key"];
const PUBLIC: [&str; 4] = ["ca.crt", "tls.crt", "callers-ca.crt", "client.crt"];

#[test]
fn both_sides_can_verify_each_other() {
    let dir = tempfile::tempdir().expect("a directory");
    let dir = dir.path();
    let ran = certs(dir, &["--san", "127.0.0.1", "--san", "::1", "--san", "hooks.example.com", "--days", "90"]);
    assert_eq!(ran.status, 0, "{ran:?}");
    let names = "hooks.example.com, portcullis-admission.portcullis.svc, portcullis-admission.portcullis.svc.cluster.local, 127.0.0.1, ::1";
    assert!(ran.stdout.contains(&format!("certs/tls.crt: certificate of {names}: expires on ")), "{}", ran.stdout);
    assert!(ran.stdout.contains(", in 90 days"), "{}", ran.stdout);
    for (files, mode) in [(PRIVATE, 0o600), (PUBLIC, 0o644)] {
        for file in files {
            let is = std::fs::metadata(dir.join("certs").join(file)).expect(file).permissions().mode() & 0o777;
            assert_eq!(is & !0o022, mode & !0o022, "{file}: {is:o}");
        }
    }
    for (args, holds) in [
        (
            &[
                "-CAfile",
                "ca.crt",
                "-purpose",
                "sslserver",
                "-verify_hostname",
                "portcullis-admission.portcullis.svc",
                "tls.crt",
            ][..],
            true,
        ),
        (&["-CAfile", "ca.crt", "-purpose", "sslserver", "-verify_ip", "127.0.0.1", "tls.crt"], true),
        (&["-CAfile", "ca.crt", "-purpose", "sslserver", "-verify_hostname", "other.portcullis.svc", "tls.crt"], false),
        (&["-CAfile", "ca.crt", "-purpose", "sslclient", "tls.crt"], false),
        (&["-CAfile", "callers-ca.crt", "-purpose", "sslclient", "client.crt"], true),
        (&["-CAfile", "callers-ca.crt", "-purpose", "sslserver", "client.crt"], false),
        // Who certifies servers certifies no callers, and the other way round.
        (&["-CAfile", "ca.crt", "client.crt"], false),
        (&["-CAfile", "callers-ca.crt", "tls.crt"], false),
    ] {
        let args = [&["-x509_strict"], args].concat();
        assert!(verify(dir, &args).is_none_or(|verified| verified == holds), "{args:?}");
    }
}

#[test]
fn nothing_is_written_over_without_being_told() {
    let dir = tempfile::tempdir().expect("a directory");
    let dir = dir.path();
    std::fs::create_dir(dir.join("certs")).expect("a directory");
    std::fs::write(dir.join("certs/callers-ca.key"), "mine").expect("written");
    let ran = certs(dir, &[]);
    assert!(ran.status == 3 && ran.stderr.contains("holds `callers-ca.key` already"), "{ran:?}");
    assert_eq!(read(dir, "callers-ca.key"), "mine");
    assert!(!dir.join("certs/ca.crt").exists());
    assert_eq!(certs(dir, &["--force"]).status, 0);
    assert_ne!(read(dir, "callers-ca.key"), "mine");
    // A file that others could read does not stay one.
    let mode = std::fs::metadata(dir.join("certs/callers-ca.key")).expect("a key").permissions().mode();
    assert_eq!(mode & 0o077, 0);
    let left: Vec<_> = std::fs::read_dir(dir.join("certs")).expect("a directory").collect();
    assert_eq!(left.len(), 8, "{left:?}");
}

#[test]
fn renewing_keeps_authorities_and_names() {
    let dir = tempfile::tempdir().expect("a directory");
    let dir = dir.path();
    assert_eq!(certs(dir, &["--renew"]).status, 3, "there is nothing to renew");
    assert_eq!(certs(dir, &["--san", "192.0.2.7", "--client-name", "api.example.com"]).status, 0);
    let before: Vec<_> = PUBLIC.iter().chain(&PRIVATE).map(|file| read(dir, file)).collect();
    let ran = certs(dir, &["--renew", "--days", "5"]);
    assert!(
        ran.status == 0 && ran.stdout.contains("192.0.2.7") && ran.stdout.contains("certificate of api.example.com"),
        "{ran:?}"
    );
    for (file, before) in PUBLIC.iter().chain(&PRIVATE).zip(before) {
        assert_eq!(read(dir, file) == before, file.contains("ca."), "{file}");
    }
    assert!(verify(dir, &["-CAfile", "ca.crt", "-verify_ip", "192.0.2.7", "tls.crt"]).is_none_or(|holds| holds));
    assert!(verify(dir, &["-CAfile", "callers-ca.crt", "client.crt"]).is_none_or(|holds| holds));

    // A key of another authority would issue what nobody trusts.
    std::fs::copy(dir.join("certs/callers-ca.key"), dir.join("certs/ca.key")).expect("copied");
    let ran = certs(dir, &["--renew"]);
    assert!(ran.status == 3 && ran.stderr.contains("is not that of its certificate"), "{ran:?}");
}

#[test]
fn what_expires_soon_is_told() {
    let dir = tempfile::tempdir().expect("a directory");
    let dir = dir.path();
    assert_eq!(certs(dir, &["--check"]).status, 3, "there is no directory");
    assert_eq!(certs(dir, &["--days", "20"]).status, 0);
    let ran = certs(dir, &["--check"]);
    assert!(ran.status == 1 && ran.stdout.contains("in 19 days") || ran.stdout.contains("in 20 days"), "{ran:?}");
    let ran = certs(dir, &["--check", "--within", "7", "-o", "json"]);
    let json: serde_json::Value = serde_json::from_str(&ran.stdout).expect("JSON");
    let files: Vec<_> =
        json["certificates"].as_array().expect("a list").iter().map(|known| known["file"].to_string()).collect();
    assert_eq!((ran.status, files.len()), (0, 4), "{json}");
    // An authority that ends sooner ends what it issued.
    assert_eq!(certs(dir, &["--force", "--ca-days", "3", "--days", "30"]).status, 0);
    let ran = certs(dir, &["--check", "--within", "1"]);
    assert!(ran.status == 0 && !ran.stdout.contains("in 29 days") && !ran.stdout.contains("in 30 days"), "{ran:?}");
    std::fs::write(dir.join("certs/other.crt"), "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
        .expect("written");
    let ran = certs(dir, &["--check"]);
    assert!(ran.status == 3 && ran.stderr.contains("other.crt"), "{ran:?}");
}

#[test]
fn names_that_are_none_are_refused() {
    let dir = tempfile::tempdir().expect("a directory");
    for name in ["", "a b", "a..b", "-a", "https://a", "a/b", "1.2.3.4.", "ä.example", &"a".repeat(64)] {
        let ran = certs(dir.path(), &[&format!("--san={name}")]);
        assert!(ran.status == 2 && ran.stderr.contains("neither a DNS name nor an address"), "{name}: {ran:?}");
    }
    assert_eq!(certs(dir.path(), &["--service", ""]).status, 2);
    assert_eq!(certs(dir.path(), &["--days", "0"]).status, 2);
    assert!(!dir.path().join("certs").exists());
}
