#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

use super::*;

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

#[test]
fn the_longest_prefix_names_the_identity() {
    let text = "identities:\n- {cidr: 10.0.0.0/8, labels: {net: a}}\n- {cidr: 10.1.0.0/16, labels: {net: b}}\n\
                - {address: 10.1.2.3, labels: {app: c, 'k8s:zone': z}}\n- {cidr: 'fd00::/8', labels: {net: six}}\n- {cidr: '::/0', labels: {net: rest}}\n";
    let identities = Identities::load("ids", text.as_bytes()).unwrap();
    let rows = [
        ("10.9.9.9", "net=a"),
        ("10.1.9.9", "net=b"),
        ("10.1.2.3", "app=c,k8s:zone=z"),
        ("::ffff:10.1.2.3", "app=c,k8s:zone=z"),
        ("fd00::1", "net=six"),
        ("2001:db8::1", "net=rest"),
        ("11.0.0.1", "reserved:world"),
    ];
    for (address, labels) in rows {
        assert_eq!(identities.identify(ip(address)).labels.to_string(), labels, "{address}");
    }
    assert_eq!(identities.len(), 5);
    assert_eq!(identities.identify(ip("11.0.0.1")).known_by, KnownBy::Nothing);
    let json = br#"{"identities": [{"address": "192.0.2.1", "labels": {"reserved:host": ""}}]}"#;
    assert!(Identities::load("ids", json).unwrap().identify(ip("192.0.2.1")).labels.has_reserved("host"));
}

#[test]
fn faults_of_the_file_are_all_shown() {
    let text = "identities:\n- {cidr: 10.0.0.0/8, labels: {a: b}}\n- {cidr: 10.255.0.0/8, labels: {a: c}}\n- {address: 10.0.0.0/9, labels: {a: b}}\n\
                - {address: 10.0.0.1, labels: {}}\n- {labels: {a: b}}\n- {address: ten, labels: {a: b}}\n- {address: 10.0.0.1, label: {a: b}}\nmore: 1\n";
    let errors = Identities::load("ids", text.as_bytes()).unwrap_err().to_string();
    let wanted = [
        "ids:9:1: unknown field `more`; allowed is `identities`",
        "ids:3:3: identities[1]: `10.0.0.0/8` has labels already, given at ids:2:3; remove one",
        "ids:4:3: identities[2]: `address` is one address; write `cidr: 10.0.0.0/9` for a network",
        "ids:5:3: identities[3]: `labels` is empty",
        "ids:6:3: identities[4]: neither `address` nor `cidr`",
        "ids:7:13: identities[5].address: `ten` is not an address or a network",
        "ids:8:23: identities[6]: unknown field `label`; allowed are `address`, `cidr`, `labels`",
    ];
    for line in wanted {
        assert!(errors.lines().any(|error| error.starts_with(line)), "{line}\nis not in\n{errors}");
    }
    assert!(Identities::load("ids", b"- a").unwrap_err().to_string().contains("wanted `identities:`"));
    assert!(Identities::load("ids", b"").unwrap().is_empty());
}

#[test]
fn labels_have_sources() {
    let labels = Labels::new([("app", "x"), ("k8s:app", "y"), ("reserved:host", "")]).unwrap();
    assert_eq!(labels.to_string(), "app=x,k8s:app=y,reserved:host");
    assert_eq!(Labels::new([("a", "1"), ("a", "2")]), Err(LabelError::Twice("a".to_owned())));
    assert_eq!(Labels::new([("any:a", "1")]), Err(LabelError::AnySource("any:a".to_owned())));
    assert_eq!(Labels::new([("k8s:", "1")]), Err(LabelError::EmptyKey("k8s:".to_owned())));
}

#[test]
fn networks_are_read_and_compared() {
    let cidr = |text: &str| text.parse::<Cidr>();
    assert_eq!(cidr("10.1.2.3/8").unwrap().to_string(), "10.0.0.0/8");
    assert_eq!(cidr("::ffff:10.0.0.0/104").unwrap(), cidr("10.0.0.0/8").unwrap());
    assert!(cidr("0.0.0.0/0").unwrap().contains(ip("255.1.1.1")) && !cidr("::/0").unwrap().contains(ip("1.1.1.1")));
    assert!(
        cidr("10.0.0.0/8").unwrap().covers(&cidr("10.2.0.0/16").unwrap())
            && !cidr("10.0.0.0/16").unwrap().covers(&cidr("10.0.0.0/8").unwrap())
    );
    for bad in ["", "10.0.0.0/33", "::/129", "10.0.0.0/", "10.0.0.0/+8", "10.0.0/8", "a/8", "10.0.0.0/8/8"] {
        assert!(cidr(bad).is_err(), "{bad}");
    }
}
