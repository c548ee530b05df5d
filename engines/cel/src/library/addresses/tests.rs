//! Tests of addresses and networks.

use super::{Address, Network};
use crate::library::testing::{call, cost};
use crate::value::Value;

#[test]
fn reads_addresses_as_go_does() {
    for text in ["1.2.3.4", "::", "::1.2.3.4", "2001:DB8::1", "1:2:3:4:5:6:7::"] {
        assert!(Address::parse(text).is_ok(), "{text}");
    }
    let refused = [
        "",
        "01.2.3.4",
        "1.2.3",
        "1.2.3.4.5",
        "::ffff:1.2.3.4",
        "fe80::1%eth0",
        "fe80::1%",
        "1.2.3.4%a",
        "1::2::3",
        "1:2:3:4::5:6:7:8",
    ];
    for text in refused {
        assert!(Address::parse(text).is_err(), "{text}");
    }
}

#[test]
fn reads_networks_as_go_does() {
    for text in ["1.2.3.4/8", "0.0.0.0/0", "::/0", "::1/128", "1.2.3.4/32"] {
        assert!(Network::parse(text).is_ok(), "{text}");
    }
    for text in [
        "",
        "1.2.3.4",
        "1.2.3.4/",
        "1.2.3.4/33",
        "1.2.3.4/08",
        "1.2.3.4/+8",
        "1.2.3.4/-1",
        "::1/129",
        "::ffff:1.2.3.4/120",
        "fe80::1%e/64",
    ] {
        assert!(Network::parse(text).is_err(), "{text}");
    }
}

#[test]
fn a_network_contains_what_its_bits_say() {
    let network = |text: &str| Network::parse(text).unwrap();
    assert!(network("10.9.8.7/8").contains_address(Address::parse("10.1.2.3").unwrap()));
    assert!(!network("10.0.0.0/8").contains_address(Address::parse("::1").unwrap()));
    assert!(network("0.0.0.0/0").contains_network(network("10.0.0.0/8")));
    assert!(!network("10.0.0.0/16").contains_network(network("10.0.0.0/8")));
    assert!(!network("::/0").contains_network(network("10.0.0.0/8")));
    assert_eq!(network("192.168.1.7/31").masked().text(), "192.168.1.6/31");
}

#[test]
fn errors_do_not_show_the_text() {
    let error = call(":ip", &[Value::text("secret")]).unwrap_err().to_string();
    assert_eq!(error, "IP Address parse error during conversion from string: unable to parse IP");
}

#[test]
fn containment_costs_what_kubernetes_counts() {
    let network = Value::opaque(Network::parse("2001:db8::/32").unwrap());
    assert_eq!(cost("containsIP", &[network.clone(), Value::text("2001:db8::1")]), 3);
    assert_eq!(cost("containsCIDR", &[network.clone(), network]), 3);
}
