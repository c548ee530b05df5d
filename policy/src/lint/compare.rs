//! Finds rules that another one makes useless: the same rule, a wider one, one that denies, one that opens the port.

use std::collections::{HashMap, HashSet};
use std::fmt::Write;

use super::index::Index;
use super::patterns::Form;
use super::{Finding, Fix, Lint};
use crate::identity::Traffic;
use crate::l7::{Dialect, Effect, Protocols};
use crate::node::{Node, Place, Value};
use crate::spec::selector::Selector;
use crate::spec::{Entity, Item, Peer, Policy, PortRule, Ports, Rule, Side, Spec};

/// Blocks that are looked at for one block: see the module for what that leaves unsaid.
const MAX_BLOCKS: usize = 64;
/// Peers of one block that are compared with those of another.
const MAX_PEERS: usize = 256;

/// Rules for the same endpoints, ports and peers that do the same.
struct Block<'p> {
    key: Key<'p>,
    rules: Vec<Entry<'p>>,
    index: Index,
    /// By what is written, to find what is there twice.
    written: HashMap<String, usize>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key<'p> {
    traffic: Traffic,
    subject: &'p Selector,
    ports: &'p Ports,
    peers: &'p [Peer],
    does: Does<'p>,
    audit: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Does<'p> {
    Open,
    Deny,
    L7 { l7proto: &'p str, effect: Effect },
}

struct Entry<'p> {
    name: &'p str,
    place: &'p Place,
    form: Option<Form>,
    /// The list that the item is one of, where it is one of several.
    list: Option<&'p [Item]>,
}

/// Where to find the blocks for some endpoints.
#[derive(Default)]
struct Blocks<'p> {
    any: Vec<usize>,
    by_peer: HashMap<&'p Peer, Vec<usize>>,
}

/// Finds what is useless.
pub(super) fn check(policies: &[Policy], protocols: &dyn Protocols, found: &mut Vec<Finding>) {
    let mut comparison = Comparison { protocols, blocks: Vec::new(), by_key: HashMap::new(), found };
    for policy in policies {
        for Spec { subject, ingress, egress } in &policy.specs {
            for (traffic, side) in [(Traffic::Ingress, ingress), (Traffic::Egress, egress)] {
                for rule in side.iter().flat_map(|Side { rules, .. }| rules) {
                    comparison.add(policy.dialect, (traffic, subject), rule);
                }
            }
        }
    }
    comparison.compare();
}

struct Comparison<'p, 'f> {
    protocols: &'p dyn Protocols,
    blocks: Vec<Block<'p>>,
    by_key: HashMap<Key<'p>, usize>,
    found: &'f mut Vec<Finding>,
}

impl<'p> Comparison<'p, '_> {
    fn add(&mut self, dialect: Dialect, (traffic, subject): (Traffic, &'p Selector), rule: &'p Rule) {
        let Rule { effect, audit, peers, ports, .. } = rule;
        for PortRule { name, place, ports, l7 } in ports {
            let key = |does, audit| Key { traffic, subject, ports, peers, does, audit };
            let Some(l7) = l7 else {
                let (does, audit) = match effect {
                    Effect::Allow => (Does::Open, false),
                    Effect::Deny => (Does::Deny, *audit),
                };
                let entry = Entry { name, place, form: None, list: None };
                self.add_entry(key(does, audit), entry, String::new());
                continue;
            };
            let compiler = self.protocols.compiler(&l7.l7proto);
            for item in &l7.items {
                let outline = compiler.and_then(|compiler| compiler.outline(&item.node, dialect));
                let form = outline.as_ref().and_then(|outline| Form::of(outline, dialect));
                let does = Does::L7 { l7proto: &l7.l7proto, effect: item.effect };
                let mut written = format!("{dialect:?}");
                write_plainly(&item.node, &mut written);
                let entry = Entry { name: &item.name, place: &item.node.place, form, list: Some(&l7.items) };
                self.add_entry(key(does, item.audit), entry, written);
            }
        }
    }

    fn add_entry(&mut self, key: Key<'p>, entry: Entry<'p>, written: String) {
        let next = self.blocks.len();
        let at = *self.by_key.entry(key.clone()).or_insert(next);
        if at == next {
            self.blocks.push(Block { key, rules: Vec::new(), index: Index::default(), written: HashMap::new() });
        }
        let Some(block) = self.blocks.get_mut(at) else { return };
        let number = block.rules.len();
        if let Some(first) = block.written.get(&written).and_then(|first| block.rules.get(*first)) {
            let fix = removal(&entry, first);
            let message = format!("says the same as `{}` at {}", first.name, first.place);
            let better = "remove it".to_owned();
            self.found.push(finding(Lint::DuplicateRule, &entry, message, better, fix));
            return;
        }
        block.written.insert(written, number);
        if let Some(form) = &entry.form {
            block.index.add(number, form);
        }
        block.rules.push(entry);
    }

    fn compare(self) {
        let mut sides: HashMap<(Traffic, &Selector), Blocks<'p>> = HashMap::new();
        for (at, block) in self.blocks.iter().enumerate() {
            let side = sides.entry((block.key.traffic, block.key.subject)).or_default();
            if block.key.peers == [Peer::Any] {
                side.any.push(at);
            }
            for peer in block.key.peers.iter().take(MAX_PEERS) {
                side.by_peer.entry(peer).or_default().push(at);
            }
        }
        // What was found by the compiler is not said a second time.
        let opened = self.found.iter().filter(|finding| finding.lint == Lint::OpenedPort);
        let mut known: HashSet<_> = opened.map(|finding| (finding.lint, finding.place.clone())).collect();
        let mut found = Vec::new();
        for (at, block) in self.blocks.iter().enumerate() {
            for other in self.candidates(&sides, block) {
                let Some(wide) = self.blocks.get(other) else { continue };
                compare_blocks((at, block), (other, wide), &mut |finding: Finding| {
                    if known.insert((finding.lint, finding.place.clone())) {
                        found.push(finding);
                    }
                });
            }
        }
        self.found.append(&mut found);
    }

    /// The blocks whose endpoints, peers and ports include those of this one, itself among them.
    fn candidates(&self, sides: &HashMap<(Traffic, &Selector), Blocks<'p>>, block: &Block<'_>) -> Vec<usize> {
        let key = &block.key;
        let mut subjects: Vec<Selector> = vec![key.subject.clone()];
        subjects.extend(key.subject.wider());
        let mut peers: Vec<Peer> = key.peers.first().cloned().into_iter().collect();
        if let Some(Peer::Endpoints(selector)) = key.peers.first() {
            peers.extend(selector.wider().map(Peer::Endpoints));
            peers.push(Peer::Entity(Entity::Cluster));
        }
        let mut all = Vec::new();
        for side in subjects.iter().filter_map(|subject| sides.get(&(key.traffic, subject))) {
            all.extend(side.any.iter().take(MAX_BLOCKS));
            for peer in &peers {
                all.extend(side.by_peer.get(peer).into_iter().flatten().take(MAX_BLOCKS));
            }
        }
        all.sort_unstable();
        all.dedup();
        all.retain(|at| self.blocks.get(*at).is_some_and(|wide: &Block<'_>| includes(&wide.key, key)));
        all
    }
}

/// Whether whoever the narrow block is about is whom the wide one is about.
fn includes(wide: &Key<'_>, narrow: &Key<'_>) -> bool {
    wide.ports.cover(narrow.ports)
        && wide.subject.covers(narrow.subject)
        && (wide.peers == narrow.peers
            || wide.peers.len().saturating_mul(narrow.peers.len()) <= MAX_PEERS
                && !narrow.peers.is_empty()
                && narrow.peers.iter().all(|peer| wide.peers.iter().any(|wide| wide.covers(peer))))
}

fn compare_blocks(
    (at, block): (usize, &Block<'_>),
    (other, wide): (usize, &Block<'_>),
    found: &mut impl FnMut(Finding),
) {
    let enforced_deny = !wide.key.audit;
    let mut first = |lint, what: &str, better: &str| {
        let (Some(entry), Some(by)) = (block.rules.first(), wide.rules.first()) else { return };
        let more = match block.rules.len() {
            1 => String::new(),
            n => format!(" (and {} more rules for the same peers and ports)", n.saturating_sub(1)),
        };
        let message = format!("{what} `{}` at {}{more}", by.name, by.place);
        found(finding(lint, entry, message, better.to_owned(), None));
    };
    match (block.key.does, wide.key.does) {
        (Does::L7 { effect: Effect::Allow, .. }, Does::Open) => {
            let what = "has no effect: the port is opened to the same peers without L7 rules by";
            first(Lint::OpenedPort, what, "remove the rule that opens the port, or give it peers or ports of its own");
        }
        (Does::L7 { effect: Effect::Allow, .. } | Does::Open, Does::Deny) if enforced_deny => {
            let what = "admits nothing: the same peers and ports are denied by";
            first(Lint::AlwaysDenied, what, "remove one of the two, or narrow the one that denies");
        }
        // Of two that include each other the first one stays.
        (Does::Open, Does::Open) | (Does::Deny, Does::Deny)
            if other != at && block.key.audit == wide.key.audit && (!includes(&block.key, &wide.key) || other < at) =>
        {
            first(Lint::ShadowedRule, "adds nothing to", "remove it, or narrow the wider rule");
        }
        (Does::L7 { l7proto, effect }, Does::L7 { l7proto: theirs, effect: wider }) if l7proto == theirs => {
            let deny = (effect, wider) == (Effect::Allow, Effect::Deny) && enforced_deny;
            if deny || effect == wider && block.key.audit == wide.key.audit {
                compare_items((at, block), (other, wide), deny, found);
            }
        }
        _ => {}
    }
}

fn compare_items(
    (at, block): (usize, &Block<'_>),
    (other, wide): (usize, &Block<'_>),
    deny: bool,
    found: &mut impl FnMut(Finding),
) {
    for (number, entry) in block.rules.iter().enumerate() {
        let Some(form) = &entry.form else { continue };
        let covering = wide.index.candidates(form).into_iter().find_map(|n| {
            let by = wide.rules.get(n)?;
            let wider = by.form.as_ref()?;
            let later = (other, n) > (at, number);
            let counts = (other, n) != (at, number) && wider.covers(form);
            // Of two that include each other the first one stays.
            (counts && (deny || !later || !form.covers(wider) || !includes(&block.key, &wide.key))).then_some(by)
        });
        let Some(by) = covering else { continue };
        let (lint, message, better) = if deny {
            let message = format!("admits nothing: all that it admits is denied by `{}` at {}", by.name, by.place);
            (Lint::AlwaysDenied, message, "remove one of the two, or narrow the one that denies")
        } else {
            let message = format!("adds nothing: all that it speaks of is in `{}` at {}", by.name, by.place);
            (Lint::ShadowedRule, message, "remove it; or narrow the wider rule, if that was not meant")
        };
        found(finding(lint, entry, message, better.to_owned(), None));
    }
}

fn finding(lint: Lint, entry: &Entry<'_>, message: String, better: String, fix: Option<Fix>) -> Finding {
    Finding { lint, place: entry.place.clone(), rule: entry.name.to_owned(), message, better, fix }
}

/// Of two items of one list, the second can go.
fn removal(entry: &Entry<'_>, first: &Entry<'_>) -> Option<Fix> {
    let same = |a: &[Item], b: &[Item]| std::ptr::eq(a.as_ptr(), b.as_ptr());
    let together = matches!((entry.list, first.list), (Some(list), Some(other)) if same(list, other));
    together.then(|| Fix::Remove { place: entry.place.clone() })
}

/// The node without its places; maps in the order of their keys.
fn write_plainly(node: &Node, out: &mut String) {
    // Writing to a text cannot fail.
    let _ = match &node.value {
        Value::List(items) => {
            out.push('[');
            items.iter().for_each(|item| write_plainly(item, out));
            write!(out, "]")
        }
        Value::Map(entries) => {
            let mut sorted: Vec<_> = entries.iter().collect();
            sorted.sort_by(|a, b| a.key.cmp(&b.key));
            for entry in sorted {
                let _ = write!(out, "{:?}:", entry.key);
                write_plainly(&entry.value, out);
            }
            write!(out, ";")
        }
        leaf => write!(out, "{leaf:?},"),
    };
}
