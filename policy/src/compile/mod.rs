//! From the texts of policies to a snapshot: all or nothing.

pub(crate) mod index;
mod isolate;
#[cfg(test)]
mod oracle;
mod source;
#[cfg(test)]
mod tests;
mod view;

use std::collections::{BTreeSet, HashMap};

use crate::decide::{Block, Content, DefaultVerdict, RuleInfo, Snapshot};
use crate::l7::{
    CompileError, Dialect, DocumentCompiler, Documents, Effect, ErasedRules, Located, Protocols, RuleCompiler, RuleId,
};
use crate::lint::Lint;
use crate::node::{Node, NodeError, Place, Value, shorten};
use crate::problems::{PolicyErrors, Problems, Warning};
use crate::spec::selector::Selector;
use crate::spec::{self, Item, Kinds, L7, Objects, Peer, Policy, PortRule, Ports, Rule, Spec};
use index::{DefaultDeny, Group, LabelIndex, SideIndex, Subject, Target};

pub(crate) use isolate::{Isolated, Isolation};
pub(crate) use source::list as list_files;
pub use source::{FILE, Source};

/// What compiling depends on besides the policies.
#[derive(Clone, Copy, Debug, Default)]
pub struct CompileOptions<'a> {
    /// What becomes of connections of endpoints that no policy selects.
    pub default: DefaultVerdict,
    /// The protocol of the listener that the policies are for: rules of others are warned of.
    pub l7proto: Option<&'a str>,
}

/// What compiling gives.
#[derive(Debug)]
pub struct Compiled {
    /// To be put in force.
    pub snapshot: Snapshot,
    /// What is probably not meant as it is written.
    pub warnings: Vec<Warning>,
}

impl Snapshot {
    /// Compiles all policies of the sources, all or nothing.
    ///
    /// # Errors
    /// All that is wrong with them, each with file, line, column and path, up to 20.
    pub fn compile(
        sources: &[Source],
        protocols: &dyn Protocols,
        options: &CompileOptions<'_>,
    ) -> Result<Compiled, PolicyErrors> {
        let mut problems = Problems::default();
        let objects = read_all(sources, protocols, &mut problems);
        compile_objects(objects, BTreeSet::new(), problems, protocols, options)
    }
}

/// The kinds of documents that protocols bring along.
pub(crate) fn kinds_of(protocols: &dyn Protocols) -> Vec<(&str, &str)> {
    protocols.documents().into_iter().flat_map(DocumentCompiler::kinds).copied().collect()
}

/// Reads what stands in the sources, and refuses what nobody asks for.
pub(crate) fn read_all(sources: &[Source], protocols: &dyn Protocols, problems: &mut Problems) -> Objects {
    let mut objects = read_objects(sources, Kinds::Of(&kinds_of(protocols)), problems);
    let claims = claims_of(&objects.documents, protocols);
    objects.settle(&claims, problems);
    objects
}

/// The further kinds that documents speak of.
fn claims_of(documents: &[Node], protocols: &dyn Protocols) -> Vec<(String, String)> {
    let claims = |compiler: &dyn DocumentCompiler| {
        let is_own = |document: &&Node| is_wanted(document, compiler.kinds().iter().copied());
        let own: Vec<_> = documents.iter().filter(is_own).cloned().collect();
        compiler.claims(&own)
    };
    protocols.documents().into_iter().flat_map(claims).collect()
}

fn is_wanted<'k>(document: &Node, mut kinds: impl Iterator<Item = (&'k str, &'k str)>) -> bool {
    let text = |field| match document.entry(field).map(|node| &node.value) {
        Some(Value::Text(text)) => text.as_str(),
        _ => "",
    };
    let (api_version, kind) = (text("apiVersion"), text("kind"));
    kinds.any(|wanted| spec::is_of(wanted, api_version, kind))
}

impl Objects {
    /// Keeps what is claimed of the others as documents, and refuses the rest.
    fn settle(&mut self, claims: &[(String, String)], problems: &mut Problems) {
        for (document, error) in std::mem::take(&mut self.others) {
            if is_wanted(&document, claims.iter().map(|(api, kind)| (api.as_str(), kind.as_str()))) {
                self.documents.push(document);
            } else {
                problems.add(error);
            }
        }
    }
}

pub(crate) fn read_objects(sources: &[Source], kinds: Kinds<'_>, problems: &mut Problems) -> Objects {
    let mut found = Objects::default();
    for source in sources {
        for document in problems.note(source.documents()).unwrap_or_default() {
            spec::read_objects(&document, kinds, problems, &mut found);
        }
    }
    found
}

/// Compiles policies after what was wrong with reading them. In the held namespaces nothing passes.
fn compile_objects(
    objects: Objects,
    held: BTreeSet<String>,
    problems: Problems,
    protocols: &dyn Protocols,
    options: &CompileOptions<'_>,
) -> Result<Compiled, PolicyErrors> {
    let (snapshot, warnings) = compile_and_lint(objects, held, problems, protocols, options)?;
    Ok(Compiled { snapshot, warnings: warnings.into_iter().map(|(_, warning)| warning).collect() })
}

/// The same, with the names of what was warned of.
pub(crate) fn compile_and_lint(
    Objects { policies, documents, .. }: Objects,
    held: BTreeSet<String>,
    mut problems: Problems,
    protocols: &dyn Protocols,
    options: &CompileOptions<'_>,
) -> Result<(Snapshot, Vec<(Lint, Warning)>), PolicyErrors> {
    let documents = compile_documents(documents, protocols, &mut problems);
    find_duplicates(&policies).into_iter().for_each(|(_, error)| problems.add(error));
    let mut compiler = Compiler { protocols, options, problems, rules: Vec::new(), subjects: Subjects::default() };
    for policy in policies {
        compiler.add(policy);
    }
    compiler.finish(held, documents)
}

/// Hands each protocol the documents of its kinds.
fn compile_documents(documents: Vec<Node>, protocols: &dyn Protocols, problems: &mut Problems) -> Vec<Documents> {
    let mut compiled = Vec::new();
    let mut rest = documents;
    for compiler in protocols.documents() {
        let kinds = || compiler.kinds().iter().copied();
        let (mut own, others): (Vec<_>, Vec<_>) = rest.into_iter().partition(|document| is_wanted(document, kinds()));
        let claims = compiler.claims(&own);
        let claimed = |document: &Node| is_wanted(document, claims.iter().map(|(api, kind)| (&**api, &**kind)));
        let (more, others): (Vec<_>, Vec<_>) = others.into_iter().partition(claimed);
        own.extend(more);
        rest = others;
        match compiler.compile(&own) {
            Ok(documents) => {
                documents.warnings().iter().for_each(|warning| problems.warn(Lint::Document, warning.clone()));
                compiled.push(documents);
            }
            Err(errors) => errors.into_iter().for_each(|error| problems.add(error)),
        }
    }
    compiled
}

/// Policies that stand there a second time.
fn find_duplicates(policies: &[Policy]) -> Vec<(&Policy, NodeError)> {
    let mut seen = HashMap::new();
    let mut found = Vec::new();
    for policy in policies {
        if let Some(first) = seen.insert(&policy.key, &policy.place) {
            let message = format!("a policy of this name stands at {first} already; rename or remove one");
            found.push((policy, NodeError::new(&policy.place, &policy.name, message)));
        }
    }
    found
}

struct Compiler<'a> {
    protocols: &'a dyn Protocols,
    options: &'a CompileOptions<'a>,
    problems: Problems,
    rules: Vec<RuleInfo>,
    subjects: Subjects,
}

/// What is known of each selector of endpoints, in the order of the files.
#[derive(Default)]
struct Subjects {
    by_selector: HashMap<Selector, usize>,
    list: Vec<(Selector, [Draft; 2])>,
}

/// One direction of a subject while policies are added.
#[derive(Default)]
struct Draft {
    touched: bool,
    default_deny: DefaultDeny,
    requires: Vec<Selector>,
    by_key: HashMap<GroupKey, usize>,
    groups: Vec<(GroupKey, DraftGroup)>,
    /// Which protocol speaks on which ports, and where that is said.
    protocols: Vec<(Ports, String, Place)>,
}

/// Rules with the same key are compiled together, whichever policies they stand in.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct GroupKey {
    ports: Ports,
    peers: Vec<Peer>,
    does: Does,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Does {
    Deny {
        audit: bool,
    },
    Open,
    /// Rules of a protocol; whether what they deny is only watched.
    Judge {
        l7proto: String,
        dialect: Dialect,
        effect: Effect,
        audit: bool,
    },
    /// Whether requests are denied because no rule admits them is only watched.
    Watch,
}

struct DraftGroup {
    /// The first rule of the group.
    rule: RuleId,
    items: Vec<Located<Node>>,
}

impl Compiler<'_> {
    fn add(&mut self, policy: Policy) {
        let dialect = policy.dialect;
        for Spec { subject, ingress, egress } in policy.specs {
            let Self { subjects, rules, problems, .. } = self;
            let Some([ingress_draft, egress_draft]) = subjects.of(subject) else { continue };
            for (draft, side) in [(ingress_draft, ingress), (egress_draft, egress)] {
                let Some(side) = side else { continue };
                draft.touched = true;
                if side.default_deny {
                    draft.default_deny = draft.default_deny.max(DefaultDeny::of(side.audit));
                }
                for rule in side.rules {
                    draft.add(rule, dialect, rules, problems);
                }
            }
        }
    }

    fn finish(
        mut self,
        held: BTreeSet<String>,
        documents: Vec<Documents>,
    ) -> Result<(Snapshot, Vec<(Lint, Warning)>), PolicyErrors> {
        let mut blocks = Vec::new();
        let mut subjects = Vec::new();
        for (selector, drafts) in std::mem::take(&mut self.subjects.list) {
            let [ingress, egress] = drafts.map(|draft| self.finish_side(draft, &mut blocks));
            subjects.push((selector, Subject::new(ingress, egress)));
        }
        let warnings = self.problems.take_warnings();
        self.problems.finish()?;
        let subjects = LabelIndex::new(subjects);
        let (rules, default) = (self.rules, self.options.default);
        let content = Content { rules, blocks, subjects, default, documents, held, ..Content::default() };
        Ok((Snapshot::new(content), warnings))
    }

    fn finish_side(&mut self, draft: Draft, blocks: &mut Vec<Block>) -> SideIndex {
        self.warn_of_opened(&draft);
        let mut groups = Vec::with_capacity(draft.groups.len());
        for (GroupKey { ports, peers, does }, DraftGroup { rule, items }) in draft.groups {
            let target = match does {
                Does::Deny { audit: false } => Target::Deny(rule),
                Does::Deny { audit: true } => Target::WatchedDeny(rule),
                Does::Open => Target::Open(rule),
                Does::Watch => Target::Watch,
                Does::Judge { l7proto, dialect, effect, audit } => {
                    let Some(rules) = self.compile_block(&l7proto, dialect, rule, &items) else { continue };
                    let block = Block { rules, has_deny: effect == Effect::Deny, audit };
                    // There are fewer blocks than rules, whose ids have the same type.
                    let index = u32::try_from(blocks.len()).unwrap_or(u32::MAX);
                    blocks.push(block);
                    if effect == Effect::Deny { Target::Forbid(index) } else { Target::Judge(index) }
                }
            };
            groups.push(Group { ports, peers, target });
        }
        SideIndex::new(draft.touched, draft.default_deny, draft.requires, groups)
    }

    fn compile_block(
        &mut self,
        l7proto: &str,
        dialect: Dialect,
        first: RuleId,
        items: &[Located<Node>],
    ) -> Option<ErasedRules> {
        let Some(compiler) = self.protocols.compiler(l7proto) else {
            let names = crate::node::list_allowed(&self.protocols.names());
            self.fault(first, &format!("there is no protocol `{}`; {names}", shorten(l7proto)));
            return None;
        };
        if let Some(listener) = self.options.l7proto.filter(|listener| *listener != l7proto)
            && let Some(info) = self.rules.get(first.index())
        {
            let message =
                format!("these rules are for `{l7proto}`; a listener for `{listener}` admits nothing by them");
            self.problems.warn(Lint::ForeignProtocol, NodeError::new(&info.place, &info.name, message));
        }
        compile_items(compiler, dialect, first, items, &self.rules, &mut self.problems)
    }

    fn fault(&mut self, rule: RuleId, message: &str) {
        self.problems.add(fault_of(&self.rules, rule, message));
    }

    /// "A plain L4 rule on the same port makes L7 rules ineffective."
    fn warn_of_opened(&mut self, draft: &Draft) {
        let mut open: HashMap<&[Peer], Vec<(&Ports, RuleId)>> = HashMap::new();
        for (GroupKey { ports, peers, does }, group) in &draft.groups {
            if *does == Does::Open {
                open.entry(peers).or_default().push((ports, group.rule));
            }
        }
        for (GroupKey { ports, peers, does }, group) in &draft.groups {
            if !matches!(does, Does::Judge { effect: Effect::Allow, .. }) {
                continue;
            }
            let same = open.get(peers.as_slice()).into_iter().chain(open.get([Peer::Any].as_slice())).flatten();
            let opening = same
                .into_iter()
                .find(|(opened, _)| opened.overlap(ports))
                .and_then(|(_, id)| self.rules.get(id.index()));
            if let (Some(opening), Some(info)) = (opening, self.rules.get(group.rule.index())) {
                let message =
                    format!("has no effect: `{}` opens the port to the same peers without L7 rules", opening.name);
                self.problems.warn(Lint::OpenedPort, NodeError::new(&info.place, &info.name, message));
            }
        }
    }
}

impl Subjects {
    fn of(&mut self, selector: Selector) -> Option<&mut [Draft; 2]> {
        let next = self.list.len();
        let at = *self.by_selector.entry(selector.clone()).or_insert(next);
        if at == next {
            self.list.push((selector, Default::default()));
        }
        self.list.get_mut(at).map(|(_, drafts)| drafts)
    }
}

impl Draft {
    fn add(&mut self, rule: Rule, dialect: Dialect, rules: &mut Vec<RuleInfo>, problems: &mut Problems) {
        let Rule { effect, audit, peers, requires, ports } = rule;
        self.requires.extend(requires);
        for PortRule { name, place, ports, l7 } in ports {
            let key = |does| GroupKey { ports: ports.clone(), peers: peers.clone(), does };
            let Some(l7) = l7 else {
                let audit = audit && effect == Effect::Deny;
                let id = number(rules, RuleInfo { name, place, audit }, problems);
                let does = if effect == Effect::Deny { Does::Deny { audit } } else { Does::Open };
                self.add_group(key(does), id, Vec::new());
                continue;
            };
            self.check_protocol(&ports, &l7, &name, problems);
            for Item { effect, audit, name, node } in l7.items {
                let id = number(rules, RuleInfo { name, place: node.place.clone(), audit }, problems);
                if audit && effect == Effect::Allow {
                    self.add_group(key(Does::Watch), id, Vec::new());
                }
                let does = Does::Judge { l7proto: l7.l7proto.clone(), dialect, effect, audit };
                self.add_group(key(does), id, vec![Located { id, effect, rule: node }]);
            }
        }
    }

    fn add_group(&mut self, key: GroupKey, rule: RuleId, items: Vec<Located<Node>>) {
        match self.by_key.get(&key).and_then(|at| self.groups.get_mut(*at)) {
            Some((_, group)) => group.items.extend(items),
            None => {
                self.by_key.insert(key.clone(), self.groups.len());
                self.groups.push((key, DraftGroup { rule, items }));
            }
        }
    }

    /// "Only one L7 type per port, mixing is rejected."
    fn check_protocol(&mut self, ports: &Ports, l7: &L7, name: &str, problems: &mut Problems) {
        let mut same_known = false;
        for (known, l7proto, place) in &self.protocols {
            if *l7proto == l7.l7proto {
                same_known |= known == ports;
            } else if known.overlap(ports) {
                let message = format!(
                    "a port speaks one protocol, and this one speaks `{}` for the same endpoints at {place}; use another port",
                    shorten(l7proto)
                );
                problems.add(NodeError::new(&l7.place, name, message));
            }
        }
        if !same_known {
            self.protocols.push((ports.clone(), l7.l7proto.clone(), l7.place.clone()));
        }
    }
}

/// Compiles items together; what is wrong with them is said by the names of their rules.
pub(crate) fn compile_items(
    compiler: &dyn RuleCompiler,
    dialect: Dialect,
    first: RuleId,
    items: &[Located<Node>],
    rules: &[RuleInfo],
    problems: &mut Problems,
) -> Option<ErasedRules> {
    match compiler.compile(items, dialect) {
        Ok(rules) => return Some(rules),
        Err(CompileError::Items(faults)) => {
            for (id, error) in faults {
                let path = rules.get(id.index()).map(|info| info.name.clone()).unwrap_or_default();
                problems.add(error.within(&path));
            }
        }
        Err(CompileError::Rules(error)) => {
            problems.add(fault_of(rules, error.rule.unwrap_or(first), &error.message));
        }
    }
    None
}

fn fault_of(rules: &[RuleInfo], rule: RuleId, message: &str) -> NodeError {
    match rules.get(rule.index()) {
        Some(info) => NodeError::new(&info.place, &info.name, message),
        None => NodeError::new(&Place::whole("policy"), "", message),
    }
}

/// Gives a rule its number.
pub(crate) fn number(rules: &mut Vec<RuleInfo>, info: RuleInfo, problems: &mut Problems) -> RuleId {
    let id = u32::try_from(rules.len()).unwrap_or(u32::MAX);
    if id == MAX_RULES {
        let message = format!("there are more than {MAX_RULES} rules; merge some");
        problems.add(NodeError::new(&info.place, &info.name, message));
    }
    if id <= MAX_RULES {
        rules.push(info);
    }
    RuleId(id.min(MAX_RULES))
}

/// Rules of one snapshot. A rule takes about 300 bytes until it is compiled, so that this is about 600 MB.
const MAX_RULES: u32 = 2_000_000;
