//! Which requests policies and bindings speak of: `MatchResources`.

use crate::admission::hooks::at::{At, Reader, shorten};
use crate::admission::hooks::context::{Keyed, Metadata};
use crate::admission::hooks::selectors::Selector;
use crate::admission::hooks::truth::Truth;
use crate::admission::json::{Kind, Value};
use crate::admission::review::{GroupVersionResource, Operation, Review};

use super::namespaces::Namespaces;
use super::read::{check_fields, is_path_segment, items, selector, texts, word};

/// What `matchConstraints` and `matchResources` ask for.
#[derive(Debug, Default)]
pub(super) struct Matching {
    rules: Vec<Rule>,
    excluded: Vec<Rule>,
    /// Whether other versions of the same objects are not meant.
    exact: bool,
    namespaces: Selector,
    objects: Selector,
}

/// One rule: operations, resources and names.
#[derive(Debug)]
struct Rule {
    /// Empty for all.
    operations: Vec<Operation>,
    groups: Choice,
    versions: Choice,
    resources: Vec<(Choice, Choice)>,
    scope: Scope,
    /// Empty for all.
    names: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scope {
    All,
    Cluster,
    Namespaced,
}

/// Some names, or all.
#[derive(Debug)]
struct Choice(Option<Vec<String>>);

impl Choice {
    fn new(names: Vec<String>) -> Self {
        Self((!names.iter().any(|name| name == "*")).then_some(names))
    }

    fn has(&self, name: &str) -> bool {
        self.0.as_ref().is_none_or(|names| names.iter().any(|known| known == name))
    }
}

impl Matching {
    /// Reads what is written.
    pub(super) fn read(at: &At<'_>, reader: &mut Reader) -> Self {
        let fields = ["resourceRules", "excludeResourceRules", "matchPolicy", "namespaceSelector", "objectSelector"];
        if !check_fields(at, &fields, reader) {
            return Self::default();
        }
        let mut rules = |name| -> Vec<_> {
            let items = items(at, name, reader);
            items.iter().filter_map(|item| Rule::read(item, reader)).collect()
        };
        Self {
            rules: rules("resourceRules"),
            excluded: rules("excludeResourceRules"),
            exact: word(at, "matchPolicy", &["Equivalent", "Exact"], reader) == Some("Exact"),
            namespaces: selector(at, "namespaceSelector", reader),
            objects: selector(at, "objectSelector", reader),
        }
    }

    /// Whether it speaks of a request. What does not for another reason does not, whatever cannot be told.
    ///
    /// # Errors
    /// It cannot be told.
    pub(super) fn speaks_of(&self, review: &Review<'_>, namespaces: &Namespaces) -> Result<bool, String> {
        let namespace = self.selects_namespace(review, namespaces);
        let object = self.selects_object(review);
        if namespace == Ok(false) || object == Ok(false) || self.find(&self.excluded, review)? {
            return Ok(false);
        }
        let found = self.rules.is_empty() || self.find(&self.rules, review)?;
        if found { namespace.and(object) } else { Ok(false) }
    }

    /// Whether one of the rules speaks of the request. The API server would convert the object to the version of the rules; the
    /// review holds the version that its webhook's rules name.
    fn find(&self, rules: &[Rule], review: &Review<'_>) -> Result<bool, String> {
        let speaks_of = |asked: &GroupVersionResource<'_>, sub: &str, by: By| {
            rules.iter().any(|rule| rule.speaks_of(review, asked, sub, by))
        };
        let here = speaks_of(&review.resource, &review.sub_resource, By::Version);
        let asked = review.request_resource.as_ref().unwrap_or(&review.resource);
        let sub = if review.request_resource.is_some() { &review.request_sub_resource } else { &review.sub_resource };
        let there = asked == &review.resource && here || speaks_of(asked, sub, By::Version);
        let converted = |asked: &GroupVersionResource<'_>| {
            format!(
                "it asks for another version of `{}` than the review holds, `{}`; name this version in the rules of the webhook",
                shorten(&asked.resource),
                shorten(&review.resource.version)
            )
        };
        match (self.exact, here, there) {
            (true, _, false) => Ok(false),
            (true, true, true) | (false, true, _) => Ok(true),
            (true, false, true) | (false, false, true) => Err(converted(asked)),
            (false, false, false) if speaks_of(&review.resource, &review.sub_resource, By::Resource) => {
                Err(converted(&review.resource))
            }
            (false, false, false) => Ok(false),
        }
    }

    /// "If the request is about a cluster scoped resource, and it is not a namespace, it is never exempted."
    fn selects_namespace(&self, review: &Review<'_>, known: &Namespaces) -> Result<bool, String> {
        let is_namespace = review.resource.resource == "namespaces";
        if self.namespaces.is_empty() || review.namespace.is_empty() && !is_namespace {
            return Ok(true);
        }
        let changes = matches!(review.operation, Operation::Create | Operation::Update);
        let truth = if is_namespace && review.sub_resource.is_empty() && changes {
            test(&self.namespaces, review.object)
        } else if is_namespace && review.old_object.is_some() {
            test(&self.namespaces, review.old_object)
        } else {
            self.namespaces.test_with(|key| known.label(&review.namespace, key))
        };
        let why = || {
            format!(
                "the labels of the namespace `{}` are not known; give its Namespace object among the documents",
                shorten(&review.namespace)
            )
        };
        decide(truth).ok_or_else(why)
    }

    /// "considered to match if either object matches the selector"
    fn selects_object(&self, review: &Review<'_>) -> Result<bool, String> {
        let sides = [review.object.filter(|_| review.operation != Operation::Delete), review.old_object];
        // What has no metadata has no labels, and is not selected.
        let labelled = sides
            .into_iter()
            .flatten()
            .filter(|object| object.get("metadata").is_some_and(|metadata| metadata.kind() != Kind::Null));
        let truth = if self.objects.is_empty() {
            Truth::Yes
        } else {
            Truth::any(labelled.map(|object| test(&self.objects, Some(object))))
        };
        decide(truth).ok_or_else(|| "the labels of the object cannot be read".to_owned())
    }
}

fn test(selector: &Selector, object: Option<Value<'_>>) -> Truth {
    let labels = Keyed::of(object, Metadata::Labels);
    selector.test_with(|key| labels.get(key))
}

fn decide(truth: Truth) -> Option<bool> {
    match truth {
        Truth::Yes => Some(true),
        Truth::No => Some(false),
        Truth::Unreadable => None,
    }
}

/// What of a rule is compared.
#[derive(Clone, Copy, PartialEq, Eq)]
enum By {
    /// All of it.
    Version,
    /// All but what the same objects are also called.
    Resource,
}

/// Resources that are served by several groups, with the same objects in them (Kubernetes' `EquivalentResourceMapper`).
const SAME: [[(&str, &str); 2]; 1] = [[("", "events"), ("events.k8s.io", "events")]];

impl Rule {
    fn read(at: &At<'_>, reader: &mut Reader) -> Option<Self> {
        let fields = ["resourceNames", "operations", "apiGroups", "apiVersions", "resources", "scope"];
        if !check_fields(at, &fields, reader) {
            return None;
        }
        let mut list = |name: &str, star: Option<&str>| -> Vec<_> {
            let list = texts(at, name, reader);
            if list.is_empty() {
                reader.refuse(at, format!("the field `{name}` is missing or empty"));
            }
            if let Some((_, item)) = list.iter().find(|(text, _)| list.len() > 1 && Some(text.as_str()) == star) {
                let star = star.unwrap_or_default();
                reader.refuse(
                    item,
                    format!("`{star}` stands beside others; it means them all: leave one or the others out"),
                );
            }
            list
        };
        let operations = list("operations", Some("*"));
        let groups = list("apiGroups", Some("*"));
        let versions = list("apiVersions", Some("*"));
        let resources = list("resources", Some("*/*"));
        let names = texts(at, "resourceNames", reader);
        for (index, (name, item)) in names.iter().enumerate() {
            if !is_path_segment(name) {
                reader.refuse(item, format!("`{}` is not a name of an object", shorten(name)));
            } else if names.iter().take(index).any(|(other, _)| other == name) {
                reader.refuse(item, format!("`{}` stands there twice", shorten(name)));
            }
        }
        for (version, item) in versions.iter().filter(|(version, _)| version.is_empty()) {
            reader.refuse(item, format!("`{version}` is not a version; write one such as `v1`, or `*`"));
        }
        check_resources(&resources, reader);
        let scope = match word(at, "scope", &["*", "Cluster", "Namespaced"], reader) {
            Some("Cluster") => Scope::Cluster,
            Some("Namespaced") => Scope::Namespaced,
            _ => Scope::All,
        };
        let plain = |list: Vec<(String, At<'_>)>| list.into_iter().map(|(text, _)| text).collect::<Vec<_>>();
        let one = |name: &str| Choice::new(vec![name.to_owned()]);
        let pairs = resources.iter().map(|(name, _)| {
            let (resource, sub) = name.split_once('/').unwrap_or((name, ""));
            (one(resource), one(sub))
        });
        Some(Self {
            operations: read_operations(&operations, reader),
            resources: pairs.collect(),
            groups: Choice::new(plain(groups)),
            versions: Choice::new(plain(versions)),
            names: plain(names),
            scope,
        })
    }

    fn speaks_of(&self, review: &Review<'_>, asked: &GroupVersionResource<'_>, sub: &str, by: By) -> bool {
        // "namespace objects are cluster-scoped", and their requests have their own name for a namespace.
        let is_namespace = asked.group.is_empty() && asked.version == "v1" && asked.resource == "namespaces";
        let in_none = is_namespace || review.namespace.is_empty();
        let scope = match self.scope {
            Scope::All => true,
            Scope::Cluster => in_none,
            Scope::Namespaced => !in_none,
        };
        let resource = |group: &str, name: &str| {
            self.groups.has(group)
                && self.resources.iter().any(|(resource, known)| resource.has(name) && known.has(sub))
        };
        scope
            && (self.operations.is_empty() || self.operations.contains(&review.operation))
            && (self.names.is_empty() || self.names.iter().any(|name| *name == review.name))
            && match by {
                By::Version => self.versions.has(&asked.version) && resource(&asked.group, &asked.resource),
                By::Resource => {
                    let own = (&*asked.group, &*asked.resource);
                    let others = SAME.iter().filter(|same| same.contains(&own)).flatten();
                    others.chain([&own]).any(|(group, name)| resource(group, name))
                }
            }
    }
}

fn read_operations(names: &[(String, At<'_>)], reader: &mut Reader) -> Vec<Operation> {
    let mut operations = Vec::new();
    for (name, at) in names.iter().filter(|(name, _)| name != "*") {
        match Operation::ALL.into_iter().find(|known| known.as_str() == name) {
            Some(operation) => operations.push(operation),
            None => {
                let known = Operation::ALL.map(Operation::as_str).join("`, `");
                reader.refuse(at, format!("`{}` is no operation; allowed are `{known}`, `*`", shorten(name)));
            }
        }
    }
    operations
}

/// As `validateResources` of the API server has it.
fn check_resources(resources: &[(String, At<'_>)], reader: &mut Reader) {
    let everything = resources.iter().any(|(name, _)| name == "*");
    let last = resources.iter().rposition(|(name, _)| !name.contains('/'));
    for (index, (name, at)) in resources.iter().enumerate() {
        let shown = shorten(name);
        let before = |wanted: &str| resources.iter().take(index).any(|(other, _)| other == wanted);
        match name.split_once('/') {
            _ if name.is_empty() => {
                reader.refuse(at, "an empty resource; write `pods`, `pods/exec`, `pods/*`, `*` or `*/*`")
            }
            Some((resource, sub)) if before(&format!("{resource}/*")) || before(&format!("*/{sub}")) => {
                reader.refuse(at, format!("`{shown}` stands beside one that means it, too; leave one of them out"));
            }
            // The API server asks this of the last one alone, and objects that it took are taken here.
            None if everything && name != "*" && last == Some(index) => {
                reader.refuse(at, format!("`{shown}` stands beside `*`, which means it, too; leave one of them out"));
            }
            _ => {}
        }
    }
}
