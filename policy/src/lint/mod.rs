//! What works in policies and is probably not meant, each with its place, why it matters, and the better form.
//!
//! [`check`] finds what the compiler warns of, and what can only be seen when rules are compared: that is done by what
//! protocols tell of their rules ([`Outline`]). Whatever cannot be told is left unsaid; the cost is linear in the number of
//! rules, because each is compared only with those that an index gives for it.

mod compare;
mod index;
mod names;
mod outline;
mod patterns;
mod regexes;

use std::collections::BTreeSet;
use std::fmt;

use crate::compile::{CompileOptions, Source, compile_and_lint, read_all};
use crate::l7::{Dialect, Protocols};
use crate::node::{Node, NodeError, Place, Value};
use crate::problems::{PolicyErrors, Problems};
use crate::spec::{Peer, Policy, PortRule, Rule, Side, Spec};

pub use names::{ALL, Lint};
pub use outline::{Demand, Outline, Wants};

/// Something in a policy that works, and is probably not what was meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What it is about.
    pub lint: Lint,
    /// Where.
    pub place: Place,
    /// The rule, or the way to what is at fault.
    pub rule: String,
    /// What is doubtful.
    pub message: String,
    /// What to write instead, or to look at.
    pub better: String,
    /// How to write it so, where that is certain: it never admits more than before.
    pub fix: Option<Fix>,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        NodeError::new(&self.place, self.rule.as_str(), self.message.as_str()).fmt(f)
    }
}

/// A change of the text at a place.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fix {
    /// The text that begins here becomes another one.
    Replace {
        /// Where the text begins.
        place: Place,
        /// The new text.
        text: String,
    },
    /// A field and its text become others.
    ReplaceEntry {
        /// Where the text begins; the field stands before it.
        place: Place,
        /// The field as it is called.
        old_key: &'static str,
        /// The new field.
        key: &'static str,
        /// The new text.
        text: String,
    },
    /// The item of a list that begins here goes.
    Remove {
        /// Where it begins.
        place: Place,
    },
}

/// What a host is told, and so what it can enforce.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Host {
    /// Its name.
    pub name: &'static str,
    /// Whether it is told the certificates of peers.
    pub certificates: bool,
    /// Whether objects of the strict kind reach it.
    pub strict: bool,
    /// The protocols whose denials it can answer, if there are others: a denied request of those closes its connection.
    pub answers: Option<&'static [&'static str]>,
}

/// Checks policies as [`Snapshot::compile`](crate::Snapshot::compile) does, and says all that is doubtful about them, in
/// the order of the files. The policies are for a host, where one is given.
///
/// # Errors
/// All that is wrong with them, up to 20.
pub fn check(
    sources: &[Source],
    protocols: &dyn Protocols,
    options: &CompileOptions<'_>,
    host: Option<&Host>,
) -> Result<Vec<Finding>, PolicyErrors> {
    let mut problems = Problems::keeping_all_warnings();
    let objects = read_all(sources, protocols, &mut problems);
    let policies = objects.policies.clone();
    let (_, warnings) = compile_and_lint(objects, BTreeSet::new(), problems, protocols, options)?;
    let mut found: Vec<_> = warnings.into_iter().map(|(lint, error)| Finding::from_warning(lint, error)).collect();
    for policy in &policies {
        if let Some(host) = host.filter(|host| !host.strict && policy.dialect == Dialect::Strict) {
            found.push(Finding {
                lint: Lint::HostCannot,
                place: policy.place.clone(),
                rule: policy.name.clone(),
                message: format!("objects of this kind never reach `{}`: nothing of it is in force there", host.name),
                better: "a `CiliumNetworkPolicy` of `cilium.io/v2`, which the agent hands over; or another host"
                    .to_owned(),
                fix: None,
            });
        }
        let mut linter = Linter { protocols, host, dialect: policy.dialect, found: &mut found };
        policy.specs.iter().for_each(|spec| linter.spec(policy, spec));
    }
    compare::check(&policies, protocols, &mut found);
    let order = |name: &str| sources.iter().position(|source| source.name == name);
    found.sort_by_cached_key(|finding| {
        let Place { file, line, column } = &finding.place;
        (order(file), *line, *column, finding.lint)
    });
    found.dedup();
    Ok(found)
}

impl Finding {
    fn from_warning(lint: Lint, NodeError { place, path, message }: NodeError) -> Self {
        let better = match lint {
            Lint::NullField => "write the value; or remove the line, if nothing is to be demanded",
            Lint::EmptyRule => "`fromEntities: [all]` (or `toEntities`), if everybody is meant",
            Lint::EmptyPorts => "remove the line, if every port is meant; else name the ports",
            Lint::EmptyRules | Lint::EmptyItem | Lint::NoItems => {
                "remove `rules`, if every request is meant; else name the requests"
            }
            Lint::NotTcp => "remove the rule here; the CNI enforces it in a policy of its own",
            Lint::ForeignProtocol => {
                "name the protocol of the listener as `l7proto`, or move the rule to a policy for its own listener"
            }
            Lint::Document => {
                "what the message speaks of, mended; the documents of the protocol say what each field means"
            }
            Lint::OpenedPort => "remove the rule that opens the port, or give it peers or ports of its own",
            _ => "",
        };
        Self { lint, place, rule: path, message, better: better.to_owned(), fix: None }
    }
}

struct Linter<'a> {
    protocols: &'a dyn Protocols,
    host: Option<&'a Host>,
    dialect: Dialect,
    found: &'a mut Vec<Finding>,
}

impl Linter<'_> {
    fn spec(&mut self, policy: &Policy, Spec { subject, ingress, egress }: &Spec) {
        if subject.is_contradictory() {
            let message = "`endpointSelector` contradicts itself: it selects no endpoint".to_owned();
            self.never(&policy.place, &policy.name, message, "conditions that some endpoint fulfils");
        }
        for Side { rules, .. } in [ingress, egress].into_iter().flatten() {
            rules.iter().for_each(|rule| self.rule(rule));
        }
    }

    fn rule(&mut self, rule: &Rule) {
        let Rule { peers, requires, ports, .. } = rule;
        let Some(PortRule { name, place, .. }) = ports.first() else { return };
        if peers.is_empty() && requires.is_empty() {
            let message = "names no peer at all: an empty list of peers is nobody".to_owned();
            self.never(place, name, message, "name the peers; or remove the rule");
        }
        for peer in peers {
            if let Some(why) = peer.means_nobody() {
                let message = format!("one of its peers is nobody: {why}");
                self.never(place, name, message, "conditions that some peer fulfils");
            }
        }
        if let Some(host) = self.host.filter(|host| !host.certificates)
            && peers.iter().any(|peer| matches!(peer, Peer::Named(_)))
        {
            self.found.push(Finding {
                lint: Lint::HostCannot,
                place: place.clone(),
                rule: name.clone(),
                message: format!("names peers by their certificates, which `{}` is not told", host.name),
                better: "select the peers by labels or networks, or use a host that verifies certificates".to_owned(),
                fix: None,
            });
        }
        for port in ports {
            self.items(port);
        }
    }

    fn items(&mut self, port: &PortRule) {
        let Some(l7) = &port.l7 else { return };
        if let Some(host) = self.host.filter(|host| host.answers.is_some_and(|can| !can.contains(&l7.l7proto.as_str())))
        {
            let message = format!("a denied request of `{}` closes its connection in `{}`", l7.l7proto, host.name);
            let (lint, place, rule) = (Lint::HostCannot, port.place.clone(), port.name.clone());
            let better = "a host that can answer denials of this protocol, or clients that connect again".to_owned();
            self.found.push(Finding { lint, place, rule, message, better, fix: None });
        }
        let Some(compiler) = self.protocols.compiler(&l7.l7proto) else { return };
        for item in &l7.items {
            let Some(outline) = compiler.outline(&item.node, self.dialect) else { continue };
            if let Some(why) = &outline.never {
                self.never(
                    &item.node.place,
                    &item.name,
                    format!("matches no request: {why}"),
                    "remove the item, or mend it",
                );
            }
            for demand in &outline.demands {
                if let Wants::Regex { texts, exact, prefix } = &demand.wants {
                    let Some(field) = item.node.entry(demand.field) else { continue };
                    let nodes = match &field.value {
                        Value::List(nodes) => nodes.as_slice(),
                        _ => std::slice::from_ref(field),
                    };
                    let all = texts.len();
                    for (text, node) in texts.iter().zip(nodes) {
                        self.regex(text, node, &item.name, (demand.field, *exact, *prefix), all == 1);
                    }
                }
            }
        }
    }

    fn regex(
        &mut self,
        text: &str,
        node: &Node,
        rule: &str,
        (field, exact, prefix): (&'static str, Option<&'static str>, Option<&'static str>),
        alone: bool,
    ) {
        if regexes::matches_nothing(text, self.dialect) {
            let rule = format!("{rule}.{field}");
            let message = format!("no text matches `{}`", crate::node::shorten(text));
            return self.never(&node.place, &rule, message, "`^` stands at the beginning and `$` at the end");
        }
        // A list of one is a list still: the field cannot be given another name with a text behind it.
        let alone = alone && matches!(&node.value, Value::Text(_));
        regexes::Written { text, node, dialect: self.dialect, rule, field, exact, prefix, alone }.check(self.found);
    }

    fn never(&mut self, place: &Place, rule: &str, message: String, better: &str) {
        let better = better.to_owned();
        let (place, rule) = (place.clone(), rule.to_owned());
        self.found.push(Finding { lint: Lint::NeverMatches, place, rule, message, better, fix: None });
    }
}
