//! ConstraintTemplates: a kind of constraint, the schema of its parameters, and its Rego.

use portcullis_policy::{Node, Place};
use portcullis_rego::{Dialect, Module, Program};

use super::super::super::review::Operation;
use super::read::{At, Faults, allowed, describe, is_subdomain, shorten};
use super::schema::{Schema, Strictness};
use super::source::{Scan, Source};

/// The group of templates, and the versions of it.
pub(super) const GROUP: &str = "templates.gatekeeper.sh";
const VERSIONS: [&str; 3] = ["v1", "v1beta1", "v1alpha1"];
/// The only target that there is.
const TARGET: &str = "admission.k8s.gatekeeper.sh";

/// A kind of constraint.
#[derive(Debug)]
pub(super) struct Template {
    pub(super) name: Box<str>,
    pub(super) kind: Box<str>,
    pub(super) place: Place,
    /// What the parameters may be; there may be none where nothing is said.
    pub(super) parameters: Option<Schema>,
    /// The operations that it is for; all where it names none.
    operations: Vec<Operation>,
    pub(super) code: Code,
}

/// What judges.
#[derive(Debug)]
pub(super) enum Code {
    Rego(Rego),
    /// `K8sNativeValidation`: CEL.
    #[cfg(feature = "cel")]
    Native(super::native::Validations),
}

/// Rego that judges.
#[derive(Debug)]
pub(super) struct Rego {
    pub(super) program: Program,
    /// `data.template.violation`, or the older `deny`.
    pub(super) rule: &'static str,
    pub(super) reads_inventory: bool,
    pub(super) reads_managed_fields: bool,
}

impl Template {
    /// Reads a template and compiles it.
    pub(super) fn read(node: &Node, faults: &mut Faults) -> Option<Self> {
        let errors = faults.errors.len();
        let whole = At::whole(node);
        let version = whole.field("apiVersion").and_then(|at| at.text()).unwrap_or_default();
        let version = version.rsplit_once('/').map_or("", |(_, version)| version);
        if !VERSIONS.contains(&version) {
            let message = format!("`{}` is not a version of templates; {}", shorten(version), allowed(&VERSIONS));
            faults.refuse(&whole, message);
        }
        let name = read_name(&whole, faults)?;
        let at = At { node, path: format!("ConstraintTemplate/{}", shorten(name)) };
        let Some(spec) = at.field("spec").filter(|spec| spec.need_map(faults)) else {
            faults.refuse(&at, "`spec` is missing");
            return None;
        };
        faults.warnings.extend(spec.unknown(&["crd", "targets"]));
        let kind = read_kind(&spec, name, faults);
        let parameters = read_parameters(&spec, version, faults);
        let target = read_target(&spec, faults)?;
        let operations = read_operations(&target, faults);
        let code = read_code(&target, faults);
        if faults.errors.len() > errors {
            return None;
        }
        Some(Self {
            name: name.into(),
            kind: kind?.into(),
            place: node.place.clone(),
            parameters,
            operations,
            code: code?,
        })
    }

    /// Its Rego, if it is in Rego.
    pub(super) fn rego(&self) -> Option<&Rego> {
        match &self.code {
            Code::Rego(code) => Some(code),
            #[cfg(feature = "cel")]
            Code::Native(_) => None,
        }
    }

    /// Whether it is for an operation.
    pub(super) fn is_for(&self, operation: Operation) -> bool {
        self.operations.is_empty() || self.operations.contains(&operation)
    }
}

/// The name of an object.
pub(super) fn read_name<'n>(whole: &At<'n>, faults: &mut Faults) -> Option<&'n str> {
    let Some(at) = whole.descend(&["metadata", "name"]) else {
        faults.refuse(whole, "`metadata.name` is missing");
        return None;
    };
    let name = at.need_text(faults)?;
    if !is_subdomain(name) {
        let message = format!("`{}` is not a name; one has letters in lower case, digits, `-` and `.`", shorten(name));
        faults.refuse(&at, message);
    }
    Some(name)
}

fn read_kind<'n>(spec: &At<'n>, name: &str, faults: &mut Faults) -> Option<&'n str> {
    let Some(at) = spec.descend(&["crd", "spec", "names", "kind"]) else {
        faults.refuse(spec, "`crd.spec.names.kind` is missing; say what kind its constraints are of");
        return None;
    };
    let kind = at.need_text(faults)?;
    let starts = kind.starts_with(|first: char| first.is_ascii_alphabetic());
    if !starts || !kind.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') {
        faults.refuse(&at, format!("`{}` is not a kind; one has letters and digits", shorten(kind)));
    }
    if !kind.eq_ignore_ascii_case(name) {
        let message = format!(
            "the name of the template is `{}`, and must be its kind in lower case: `{}`",
            shorten(name),
            shorten(&kind.to_ascii_lowercase())
        );
        faults.refuse(&at, message);
    }
    Some(kind)
}

fn read_parameters(spec: &At<'_>, version: &str, faults: &mut Faults) -> Option<Schema> {
    let crd = spec.descend(&["crd", "spec"]);
    if let Some(crd) = &crd {
        faults.warnings.extend(crd.unknown(&["names", "validation"]));
    }
    let validation = crd.and_then(|crd| crd.field("validation")).filter(|at| at.need_map(faults));
    if let Some(at) = &validation {
        faults.warnings.extend(at.unknown(&["openAPIV3Schema", "legacySchema"]));
    }
    // `v1` says `false` where nothing is said, the older versions `true`.
    let legacy = match validation.as_ref().and_then(|at| at.field("legacySchema")) {
        None => version != "v1",
        Some(at) => match at.node.value {
            portcullis_policy::Value::Bool(it) => it,
            _ => {
                faults.refuse(&at, format!("wanted `true` or `false`, found {}", describe(at.node)));
                false
            }
        },
    };
    let strictness = if legacy { Strictness::Legacy } else { Strictness::Structural };
    match validation.and_then(|at| at.field("openAPIV3Schema")) {
        Some(at) => Some(Schema::read(&at, strictness, faults)),
        None => legacy.then(Schema::anything),
    }
}

fn read_target<'n>(spec: &At<'n>, faults: &mut Faults) -> Option<At<'n>> {
    let Some(list) = spec.field("targets") else {
        faults.refuse(spec, format!("`targets` is missing; write one, of `target: {TARGET}`"));
        return None;
    };
    let targets = list.need_items(faults);
    let [target] = targets.as_slice() else {
        faults.refuse(&list, format!("it has {} targets, and must have one", targets.len()));
        return None;
    };
    if !target.need_map(faults) {
        return None;
    }
    faults.warnings.extend(target.unknown(&["target", "rego", "libs", "code", "operations"]));
    let name = target.text_field("target", faults);
    if name != TARGET {
        let at = target.field("target").unwrap_or_else(|| target.clone());
        faults.refuse(&at, format!("`{}` is not a target; allowed is `{TARGET}`", shorten(name)));
    }
    Some(target.clone())
}

fn read_operations(target: &At<'_>, faults: &mut Faults) -> Vec<Operation> {
    let texts = target.field("operations").map(|list| list.need_texts(faults)).unwrap_or_default();
    let mut operations = Vec::new();
    let all = texts.iter().any(|(name, _)| *name == "*");
    for (name, at) in &texts {
        match Operation::ALL.into_iter().find(|operation| operation.as_str() == *name) {
            Some(_) if all => faults.refuse(at, "beside `*` no other operation may stand"),
            Some(operation) => operations.push(operation),
            None if *name == "*" => {}
            None => {
                let message = format!(
                    "`{}` is not an operation; allowed are `CREATE`, `UPDATE`, `DELETE`, `CONNECT`, `*`",
                    shorten(name)
                );
                faults.refuse(at, message);
            }
        }
    }
    operations
}

/// Finds the Rego of a target. Where a template brings the same policy in CEL as well, it is its Rego that judges: that is
/// what its suite was written for.
fn read_code(target: &At<'_>, faults: &mut Faults) -> Option<Code> {
    if let Some(rego) = target.field("rego").filter(|rego| rego.text() != Some("")) {
        return compile(target, &rego, Dialect::V0, faults);
    }
    let items = target.field("code").map(|list| list.need_items(faults)).unwrap_or_default();
    let Some(code) = items.iter().find(|at| engine_of(at) == "Rego") else {
        match items.first() {
            None => faults.refuse(target, "there is neither `rego` nor `code`; write what judges"),
            Some(first) => return read_native(first, faults),
        }
        return None;
    };
    let Some(source) = code.field("source").filter(|at| at.need_map(faults)) else {
        faults.refuse(code, "`source` is missing");
        return None;
    };
    faults.errors.extend(source.unknown(&["rego", "version", "libs"]));
    let dialect = match source.text_field("version", faults) {
        "v1" => Dialect::V1,
        "" | "v0" => Dialect::V0,
        other => {
            let at = source.field("version").unwrap_or_else(|| source.clone());
            faults.refuse(&at, format!("`{}` is not a version of Rego; allowed are `v0`, `v1`", shorten(other)));
            return None;
        }
    };
    let Some(rego) = source.field("rego") else {
        faults.refuse(&source, "`rego` is missing");
        return None;
    };
    compile(&source, &rego, dialect, faults)
}

/// Reads code that is not Rego.
fn read_native(code: &At<'_>, faults: &mut Faults) -> Option<Code> {
    #[cfg(feature = "cel")]
    if engine_of(code) == "K8sNativeValidation" {
        let Some(source) = code.field("source") else {
            faults.refuse(code, "`source` is missing");
            return None;
        };
        return super::native::compile(&source, faults).map(Code::Native);
    }
    let message = format!(
        "templates in `{}` are not judged by this build; add the policy as `engine: Rego`",
        shorten(engine_of(code))
    );
    faults.refuse(code, message);
    None
}

fn engine_of<'n>(code: &At<'n>) -> &'n str {
    code.field("engine").and_then(|at| at.text()).unwrap_or_default()
}

/// The package that the rules of every template are put in, as Gatekeeper does: it cannot be that of a library or of data.
const PACKAGE: &str = "template";
/// What rules may be called: the name of today, and that of the first templates.
const RULES: [&str; 2] = ["data.template.violation", "data.template.deny"];

fn compile(holder: &At<'_>, rego: &At<'_>, dialect: Dialect, faults: &mut Faults) -> Option<Code> {
    let before = faults.errors.len();
    let text = rego.need_text(faults)?;
    let entry = Source::new(rego, text, line_of_key(holder, "rego"));
    let libs = holder.field("libs");
    let lines = line_of_key(holder, "libs");
    let texts = libs.as_ref().map(|list| list.need_texts(faults)).unwrap_or_default();
    // A list in brackets, or in JSON, begins on the line of its key.
    let flow = libs.as_ref().is_some_and(|list| list.node.place.line == lines);
    let libs: Vec<_> =
        texts.iter().map(|(text, at)| Source::new(at, text, if flow { u32::MAX } else { lines })).collect();

    let scan = Scan::of(entry.text());
    entry.check_data(&scan, &mut faults.errors);
    let mut reads_inventory = scan.reads_inventory();
    for lib in &libs {
        let scan = Scan::of(lib.text());
        lib.check_data(&scan, &mut faults.errors);
        reads_inventory |= scan.reads_inventory();
        if scan.package.first() != Some(&"lib") || scan.package.len() < 2 {
            let message = format!(
                "the package of a library must be in `lib`, such as `lib.helpers`, and is `{}`",
                shorten(&scan.package.join("."))
            );
            faults.refuse(lib.at(), message);
        }
    }
    let text = match entry.with_package(PACKAGE, &scan) {
        Ok(text) => text,
        Err(error) => {
            faults.errors.push(error);
            return None;
        }
    };
    if faults.errors.len() > before {
        return None;
    }
    let names: Vec<_> = (0..libs.len()).map(|n| format!("libs[{n}]")).collect();
    let modules: Vec<_> = std::iter::once(Module { name: "rego", text: &text })
        .chain(names.iter().zip(&libs).map(|(name, lib)| Module { name, text: lib.text() }))
        .collect();
    let program = match Program::compile(&modules, dialect) {
        Ok(program) => program,
        Err(found) => {
            let sources = || std::iter::once(("rego", &entry)).chain(names.iter().map(String::as_str).zip(&libs));
            faults.errors.extend(found.iter().map(|fault| {
                let source = sources().find(|(name, _)| *name == fault.file).map_or(&entry, |(_, source)| source);
                source.fault(fault)
            }));
            return None;
        }
    };
    let Some(rule) = RULES.into_iter().find(|rule| program.has_rule(rule)) else {
        faults.refuse(rego, "there is no rule `violation`; it says what is wrong: `violation[{\"msg\": msg}] { ... }`");
        return None;
    };
    let reads_managed_fields = program.mentions_managed_fields();
    Some(Code::Rego(Rego { program, rule, reads_inventory, reads_managed_fields }))
}

fn line_of_key(holder: &At<'_>, key: &str) -> u32 {
    match &holder.node.value {
        portcullis_policy::Value::Map(entries) => {
            entries.iter().find(|entry| entry.key == key).map_or(u32::MAX, |entry| entry.place.line)
        }
        _ => u32::MAX,
    }
}
