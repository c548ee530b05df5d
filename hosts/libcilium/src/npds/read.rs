//! From the agent's words to those of the policy engine. What is malformed is refused with its name; what is well formed
//! and cannot be enforced here closes its port.
//!
//! What fields mean was read in the functions of Cilium's Envoy that are named at each place, of `cilium/network_policy.cc`.

use std::collections::HashSet;

use portcullis_policy::{Node, NumberedItems, NumberedPolicy, NumberedRule, Place, PortEntry, PortVerdict, Protocols};

use super::wire::port_network_policy_rule::{L7, Verdict};
use super::wire::{L7NetworkPolicyRule, NetworkPolicy, PortNetworkPolicy, PortNetworkPolicyRule};

/// A policy as the engine takes it.
#[derive(Debug)]
pub(super) struct Translation {
    pub(super) policy: NumberedPolicy,
    /// The ports that are closed because nobody can enforce what is said of them, each with the reason.
    pub(super) unenforceable: Vec<String>,
}

/// Reads the policy of one endpoint. `name` says whose it is.
///
/// # Errors
/// What is malformed.
pub(super) fn translate(name: &str, policy: &NetworkPolicy, protocols: &dyn Protocols) -> Result<Translation, String> {
    let mut reader = Reader { protocols, place: Place::whole(name), unenforceable: Vec::new() };
    let ingress = reader.read_side("ingress", &policy.ingress_per_port_policies)?;
    let egress = reader.read_side("egress", &policy.egress_per_port_policies)?;
    let policy = NumberedPolicy { name: name.to_owned(), ingress, egress };
    Ok(Translation { policy, unenforceable: reader.unenforceable })
}

/// Checks the addresses of an endpoint.
///
/// # Errors
/// There are none, too many, or one is empty.
pub(super) fn check_addresses(addresses: &[String]) -> Result<(), String> {
    match addresses {
        [] => Err("`endpoint_ips` is empty; it names the endpoint".to_owned()),
        [_, _, _, ..] => Err(format!("`endpoint_ips` has {} addresses; 2 are the most", addresses.len())),
        addresses if addresses.iter().any(String::is_empty) => Err("`endpoint_ips` has an empty address".to_owned()),
        _ => Ok(()),
    }
}

struct Reader<'a> {
    protocols: &'a dyn Protocols,
    place: Place,
    unenforceable: Vec<String>,
}

/// Who enforces the L7 part of a rule that allows.
enum Part<'a> {
    /// It has none.
    Plain,
    /// A parser of ours.
    Parser(&'a str),
    /// Envoy's own filters: such connections have no business with a parser.
    Envoy,
    /// Nobody here, and why.
    Nobody(String),
}

impl Reader<'_> {
    fn read_side(&mut self, side: &str, policies: &[PortNetworkPolicy]) -> Result<Vec<PortEntry>, String> {
        let mut seen = HashSet::new();
        let mut entries = Vec::with_capacity(policies.len());
        for policy in policies {
            let (ports, name) = read_ports(side, policy)?;
            match policy.protocol {
                TCP => {}
                // No parser here speaks UDP.
                UDP => continue,
                other => return Err(format!("{name}: protocol {other} is neither TCP nor UDP")),
            }
            // "Every PortNetworkPolicy element in this set has a unique port / protocol combination."
            if !seen.insert(ports) {
                return Err(format!("{name}: there is another entry for this port; make one of them"));
            }
            entries.push(self.read_entry(name, ports, &policy.rules)?);
        }
        Ok(entries)
    }

    fn read_entry(
        &mut self,
        name: String,
        ports: Option<(u16, u16)>,
        rules: &[PortNetworkPolicyRule],
    ) -> Result<PortEntry, String> {
        let closed = self.find_closed(&name, rules)?;
        let rules =
            rules.iter().enumerate().map(|(at, rule)| self.read_rule(named("rules", at, &rule.name), rule, closed));
        Ok(PortEntry { rules: rules.collect(), name, ports, closed })
    }

    /// Whether the rules of a port allow anything by the word of somebody else than a parser of ours. "All rules on any
    /// given port must have the same type of L7 rules!", so that a port is either ours or not.
    fn find_closed(&mut self, entry: &str, rules: &[PortNetworkPolicyRule]) -> Result<bool, String> {
        let (mut parser, mut envoy, mut nobody) = (None, false, None);
        for (at, rule) in rules.iter().enumerate() {
            match self.part_of(rule) {
                Part::Plain => {}
                Part::Envoy => envoy = true,
                Part::Nobody(why) => nobody = nobody.or(Some(why)),
                Part::Parser(name) => match parser {
                    Some(known) if known != name => {
                        let rule = named("rules", at, &rule.name);
                        return Err(format!(
                            "{entry}.{rule}: `l7_proto` is `{name}`, and a rule before it says `{known}`; a port speaks one protocol"
                        ));
                    }
                    _ => parser = Some(name),
                },
            }
        }
        if envoy && let Some(parser) = parser {
            nobody = nobody.or(Some(format!("rules for `{parser}` and for a filter of Envoy's stand side by side")));
        }
        let closed = envoy || nobody.is_some();
        if let Some(why) = nobody {
            self.unenforceable.push(format!("{entry}: {why}"));
        }
        Ok(closed)
    }

    /// The constructor of `PortNetworkPolicyRule` reads `l7_rules` only where there is an `l7_proto`; a rule that denies
    /// or passes has no use for either.
    fn part_of<'r>(&self, rule: &'r PortNetworkPolicyRule) -> Part<'r> {
        if !matches!(rule.verdict, None | Some(Verdict::Deny(false))) {
            return Part::Plain;
        }
        let name = rule.l7_proto.as_str();
        if name.starts_with(ENVOY_PREFIX) {
            return Part::Envoy;
        }
        match (name, &rule.l7) {
            ("", None) => Part::Plain,
            ("", Some(L7::HttpRules(_))) => Part::Envoy,
            (_, Some(L7::KafkaRules(_))) => Part::Nobody("`kafka_rules` are not supported".to_owned()),
            ("", Some(L7::L7Rules(_))) => Part::Nobody("`l7_rules` without an `l7_proto`".to_owned()),
            (name, _) if self.protocols.compiler(name).is_none() => {
                Part::Nobody(format!("there is no parser for `l7_proto` `{}`", quote(name)))
            }
            (name, Some(L7::HttpRules(_))) => Part::Nobody(format!("`http_rules` are not for `{name}`")),
            (name, Some(L7::L7Rules(rules))) => {
                let mut items = rules.l7_allow_rules.iter().chain(&rules.l7_deny_rules);
                if items.any(|item| !item.metadata_rule.is_empty()) {
                    return Part::Nobody(format!("`metadata_rule` is not for `{name}`"));
                }
                Part::Parser(name)
            }
            (name, None) => Part::Parser(name),
        }
    }

    fn read_rule(&self, name: String, rule: &PortNetworkPolicyRule, closed: bool) -> NumberedRule {
        let own_listener = rule.proxy_id != 0;
        let verdict = match rule.verdict {
            Some(Verdict::Deny(true)) => PortVerdict::Deny,
            // "ProxyID is non-zero if the rule was an allow rule": where this one would not pass cannot be told.
            Some(Verdict::PassPrecedence(_)) if own_listener => PortVerdict::Deny,
            // To nowhere. C++ takes it for an allow, which is not what it says.
            Some(Verdict::PassPrecedence(0)) => PortVerdict::Deny,
            Some(Verdict::PassPrecedence(below)) => PortVerdict::Pass(below),
            None | Some(Verdict::Deny(false)) => self.read_allow(rule, own_listener, closed),
        };
        NumberedRule { name, precedence: rule.precedence, peers: rule.remote_policies.clone(), verdict }
    }

    fn read_allow(&self, rule: &PortNetworkPolicyRule, own_listener: bool, closed: bool) -> PortVerdict {
        let items = match &rule.l7 {
            Some(L7::L7Rules(rules)) => {
                let allow = self.read_items("l7_allow_rules", &rules.l7_allow_rules);
                NumberedItems {
                    l7proto: rule.l7_proto.clone(),
                    allow,
                    deny: self.read_items("l7_deny_rules", &rules.l7_deny_rules),
                }
            }
            _ => NumberedItems::default(),
        };
        match (items.allow.is_empty(), items.deny.is_empty()) {
            // What its items deny cannot be told, or where it opens the port but for them.
            (_, false) if closed => PortVerdict::Deny,
            (true, false) if own_listener => PortVerdict::Deny,
            // "This rule should be ignored if not executing in the referred listener", and which one it is we are not told.
            (true, true) if closed || own_listener => PortVerdict::Nothing,
            (true, true) => PortVerdict::Allow,
            _ if closed => PortVerdict::Nothing,
            _ => PortVerdict::Judge(items),
        }
    }

    fn read_items(&self, list: &str, items: &[L7NetworkPolicyRule]) -> Vec<(String, Node)> {
        let read = |(at, item): (usize, &L7NetworkPolicyRule)| {
            (named(list, at, &item.name), Node::from_pairs(&self.place, &item.rule))
        };
        items.iter().enumerate().map(read).collect()
    }
}

/// The ports of an entry, and its name. The constructor of `PortNetworkPolicy` throws at ranges like these.
fn read_ports(side: &str, policy: &PortNetworkPolicy) -> Result<(Option<(u16, u16)>, String), String> {
    let PortNetworkPolicy { port, end_port, .. } = *policy;
    let name = match (port, end_port) {
        (0, 0) => format!("{side}.*"),
        (port, 0) => format!("{side}.{port}"),
        (port, end_port) => format!("{side}.{port}-{end_port}"),
    };
    let ports = match (u16::try_from(port), u16::try_from(end_port)) {
        (Err(_), _) => return Err(format!("{name}: `port` {port} is above 65535")),
        (_, Err(_)) => return Err(format!("{name}: `end_port` {end_port} is above 65535")),
        (Ok(0), Ok(0)) => None,
        (Ok(port), Ok(0)) => Some((port, port)),
        (Ok(0), Ok(_)) => return Err(format!("{name}: a range may not begin with port 0, which is every port")),
        (Ok(port), Ok(end)) if end < port => return Err(format!("{name}: `end_port` is below `port`")),
        (Ok(port), Ok(end)) => Some((port, end)),
    };
    Ok((ports, name))
}

/// `rules[2]`, or `rules[2](name)`.
fn named(list: &str, at: usize, name: &str) -> String {
    if name.is_empty() { format!("{list}[{at}]") } else { format!("{list}[{at}]({})", quote(name)) }
}

/// Text of the agent's as it may stand in one line of a log: cut and escaped.
pub(super) fn quote(text: &str) -> String {
    let mut quoted: String = text.chars().take(MAX_QUOTED).flat_map(char::escape_debug).collect();
    if text.chars().nth(MAX_QUOTED).is_some() {
        quoted.push('…');
    }
    quoted
}

/// `envoy.config.core.v3.SocketAddress.Protocol`.
const TCP: i32 = 0;
const UDP: i32 = 1;
/// How the names of Envoy's filters begin, which the agent puts where the name of a parser would stand.
const ENVOY_PREFIX: &str = "envoy.";
/// Long enough to know a rule by, short enough for one line.
const MAX_QUOTED: usize = 80;
