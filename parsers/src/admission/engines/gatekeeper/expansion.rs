//! ExpansionTemplates: what an object will bring about is judged with it, such as the Pods of a Deployment.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use portcullis_policy::Node;

use super::super::super::json::{Kind, Value};
use super::action::Action;
use super::read::{At, Faults, shorten};
use super::template::read_name;

/// The group and kind.
pub(super) const EXPANSION: (&str, &str) = ("expansion.gatekeeper.sh", "ExpansionTemplate");
const VERSIONS: [&str; 3] = ["v1alpha1", "v1beta1", "v1"];
/// As for Gatekeeper: the name "must be less than 64 characters".
const MAX_NAME: usize = 63;
/// How many objects may come of one: a Pod of a Job of a CronJob are two. What comes of many templates for one kind is bounded
/// by this.
const MAX_RESULTANTS: usize = 64;

/// Group, version and kind.
pub(super) type Gvk = (String, String, String);

/// What objects bring about.
#[derive(Debug)]
pub(super) struct Template {
    pub(super) name: Arc<str>,
    applies_to: Vec<Gvk>,
    source: Vec<String>,
    generated: Gvk,
    pub(super) action: Option<Action>,
}

/// The templates by what they apply to.
#[derive(Debug, Default)]
pub(super) struct Expansions {
    templates: Vec<Template>,
    by_kind: HashMap<Gvk, Vec<usize>>,
}

/// An object that another brings about.
#[derive(Debug)]
pub(super) struct Resultant {
    pub(super) document: String,
    pub(super) template: Arc<str>,
    pub(super) action: Option<Action>,
}

/// The object that brings something about.
#[derive(Clone, Debug)]
pub(super) struct Parent<'d> {
    pub(super) value: Value<'d>,
    pub(super) gvk: Gvk,
    pub(super) name: Cow<'d, str>,
    pub(super) namespace: Cow<'d, str>,
}

impl Template {
    pub(super) fn read(node: &Node, faults: &mut Faults) -> Option<Self> {
        let errors = faults.errors.len();
        let whole = At::whole(node);
        super::config::check_version(&whole, &VERSIONS, faults);
        let name = read_name(&whole, faults)?;
        let at = At { node, path: format!("ExpansionTemplate/{}", shorten(name)) };
        if name.len() > MAX_NAME {
            faults.refuse(&at, format!("its name has {} bytes, and may have {MAX_NAME}", name.len()));
        }
        let fields = ["applyTo", "templateSource", "generatedGVK", "enforcementAction"];
        let spec = at.field("spec").filter(|spec| spec.check_fields(&fields, faults))?;
        let applies_to: Vec<Gvk> = spec
            .field("applyTo")
            .map(|list| list.need_items(faults))
            .unwrap_or_default()
            .iter()
            .flat_map(|at| read_applies_to(at, faults))
            .collect();
        if applies_to.is_empty() {
            faults.refuse(&spec, "`applyTo` names no kind; write its groups, versions and kinds");
        }
        let source = spec.text_field("templateSource", faults);
        if source.is_empty() {
            faults.refuse(&spec, "`templateSource` is missing, such as `spec.template`");
        }
        let generated = spec.field("generatedGVK").filter(|at| at.need_map(faults));
        let generated = match &generated {
            Some(at) => {
                let [group, version, kind] =
                    ["group", "version", "kind"].map(|name| at.text_field(name, faults).to_owned());
                (group, version, kind)
            }
            None => Gvk::default(),
        };
        if generated.1.is_empty() || generated.2.is_empty() {
            faults.refuse(&spec, "`generatedGVK` must have a `version` and a `kind`");
        } else if applies_to.contains(&generated) {
            faults.refuse(&spec, "what it generates is of a kind that it applies to");
        }
        let action = match spec.text_field("enforcementAction", faults) {
            "" => None,
            name => {
                let action = Action::of(name);
                if action.is_none() {
                    let message = format!("`{}` is not an action; allowed are `deny`, `warn`, `dryrun`", shorten(name));
                    faults.refuse(&spec.field("enforcementAction").unwrap_or_else(|| spec.clone()), message);
                }
                action
            }
        };
        if faults.errors.len() > errors {
            return None;
        }
        let source = source.split('.').map(str::to_owned).collect();
        Some(Self { name: name.into(), applies_to, source, generated, action })
    }
}

fn read_applies_to(at: &At<'_>, faults: &mut Faults) -> Vec<Gvk> {
    if !at.check_fields(&["groups", "versions", "kinds"], faults) {
        return Vec::new();
    }
    let [groups, versions, kinds] = ["groups", "versions", "kinds"].map(|name| {
        let texts = at.field(name).map(|list| list.need_texts(faults)).unwrap_or_default();
        texts.into_iter().map(|(text, _)| text.to_owned()).collect::<Vec<_>>()
    });
    let mut found = Vec::new();
    for group in &groups {
        for version in &versions {
            for kind in &kinds {
                found.push((group.clone(), version.clone(), kind.clone()));
            }
        }
    }
    found
}

impl Expansions {
    /// Puts templates together; of those that go round in a circle the name of one is told.
    pub(super) fn new(templates: Vec<Template>) -> (Self, Option<Arc<str>>) {
        let mut by_kind: HashMap<Gvk, Vec<usize>> = HashMap::new();
        for (n, template) in templates.iter().enumerate() {
            for gvk in template.applies_to.iter().collect::<HashSet<_>>() {
                by_kind.entry(gvk.clone()).or_default().push(n);
            }
        }
        let all = Self { templates, by_kind };
        let circle = all.find_circle();
        (all, circle)
    }

    /// Takes templates away from which nothing follows, until there are none, or all that are left go round.
    fn find_circle(&self) -> Option<Arc<str>> {
        let mut left: HashSet<usize> = (0..self.templates.len()).collect();
        loop {
            let ends: Vec<_> =
                left.iter().copied().filter(|n| !self.follows(*n).any(|next| left.contains(&next))).collect();
            if ends.is_empty() {
                return left.iter().min().and_then(|n| self.templates.get(*n)).map(|template| template.name.clone());
            }
            ends.iter().for_each(|n| {
                left.remove(n);
            });
        }
    }

    fn follows(&self, n: usize) -> impl Iterator<Item = usize> {
        let template = self.templates.get(n);
        template.and_then(|template| self.by_kind.get(&template.generated)).into_iter().flatten().copied()
    }

    /// What an object brings about, and what that does in turn: depth first.
    ///
    /// # Errors
    /// The object has not what a template takes, or too much comes of it.
    pub(super) fn expand(&self, parent: &Parent<'_>) -> Result<Vec<Resultant>, String> {
        let mut found = Vec::new();
        if self.by_kind.is_empty() {
            return Ok(found);
        }
        let mut next: Vec<(usize, String, String)> = Vec::new();
        self.step(parent, &mut found, &mut next)?;
        while let Some((template, document, name)) = next.pop() {
            let Some(template) = self.templates.get(template) else { continue };
            let mut tape = super::super::super::json::Tape::new();
            let value = tape.read(document.as_bytes()).map_err(|error| error.to_string())?;
            let child = Parent {
                value,
                gvk: template.generated.clone(),
                name: Cow::Borrowed(&name),
                namespace: parent.namespace.clone(),
            };
            self.step(&child, &mut found, &mut next)?;
        }
        Ok(found)
    }

    fn step(
        &self,
        parent: &Parent<'_>,
        found: &mut Vec<Resultant>,
        next: &mut Vec<(usize, String, String)>,
    ) -> Result<(), String> {
        for n in self.by_kind.get(&parent.gvk).into_iter().flatten() {
            let Some(template) = self.templates.get(*n) else { continue };
            if found.len() >= MAX_RESULTANTS {
                return Err(format!("more than {MAX_RESULTANTS} objects would come of it"));
            }
            let (document, name) = template.generate(parent)?;
            if self.follows(*n).next().is_some() {
                next.push((*n, document.clone(), name));
            }
            found.push(Resultant { document, template: template.name.clone(), action: template.action });
        }
        Ok(())
    }
}

impl Template {
    /// Writes what the parent brings about, as a document of its own.
    fn generate(&self, parent: &Parent<'_>) -> Result<(String, String), String> {
        let source = self.source.iter().try_fold(parent.value, |value, name| value.get(name));
        let source = source.filter(|source| source.kind() == Kind::Map).ok_or_else(|| {
            format!("could not find source field \"{}\" in resource {}", self.source.join("."), shorten(&parent.name))
        })?;
        let (group, version, kind) = &self.generated;
        let name = format!("{}-{kind}", parent.name).to_lowercase();
        let mut out = String::from("{");
        for (key, value) in source.entries() {
            if !["apiVersion", "kind", "metadata"].iter().any(|own| key.is(own)) {
                push(&mut out, &key.to_cow(), &String::from_utf8_lossy(value.raw()));
            }
        }
        push(&mut out, "apiVersion", &quote(&join_version(group, version)));
        push(&mut out, "kind", &quote(kind));
        let metadata = write_metadata(source.get("metadata"), parent, &name)?;
        push(&mut out, "metadata", &metadata);
        out.push('}');
        Ok((out, name))
    }
}

fn write_metadata(written: Option<Value<'_>>, parent: &Parent<'_>, name: &str) -> Result<String, String> {
    let mut out = String::from("{");
    let mut owners = Vec::new();
    match written {
        Some(it) if !it.is_null() && it.kind() != Kind::Map => {
            return Err("the `metadata` of what it brings about is not a map".into());
        }
        _ => {}
    }
    for (key, value) in written.into_iter().flat_map(Value::entries) {
        match &*key.to_cow() {
            "name" => {}
            "namespace" if !parent.namespace.is_empty() => {}
            "ownerReferences" => owners = value.items().collect(),
            other => push(&mut out, other, &String::from_utf8_lossy(value.raw())),
        }
    }
    push(&mut out, "name", &quote(name));
    if !parent.namespace.is_empty() {
        push(&mut out, "namespace", &quote(&parent.namespace));
    }
    let (group, version, kind) = &parent.gvk;
    let api_version = join_version(group, version);
    let is = |owner: &Value<'_>, field: &str, wanted: &str| {
        owner.get(field).and_then(Value::text).is_some_and(|text| text.is(wanted))
    };
    let known = owners.iter().any(|owner| {
        is(owner, "apiVersion", &api_version) && is(owner, "kind", kind) && is(owner, "name", &parent.name)
    });
    let mut written: Vec<_> = owners.iter().map(|owner| String::from_utf8_lossy(owner.raw()).into_owned()).collect();
    if !known && !parent.name.is_empty() {
        let owner = serde_json::json!({"apiVersion": api_version, "kind": kind, "name": parent.name, "uid": ""});
        written.push(owner.to_string());
    }
    if !written.is_empty() {
        push(&mut out, "ownerReferences", &format!("[{}]", written.join(",")));
    }
    out.push('}');
    Ok(out)
}

fn push(out: &mut String, key: &str, value: &str) {
    if !out.ends_with('{') {
        out.push(',');
    }
    out.push_str(&quote(key));
    out.push(':');
    out.push_str(value);
}

fn quote(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

pub(super) fn join_version(group: &str, version: &str) -> String {
    if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") }
}
