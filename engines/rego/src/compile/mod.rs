//! The compiler: the steps of OPA's own, in its order, as far as they decide what a program means.

mod expand;
mod functions;
mod lower;
mod managed;
mod resolve;
mod safety;
mod seek;
mod signatures;
mod tree;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use crate::ast::{File, Place, Rule, RuleKind, Term};
use crate::code::{Code, Node, NodeKind};
use crate::parser::parse;
use crate::{Dialect, Fault, Module, Value};

use resolve::Globals;
use signatures::{Functions, Signatures, function_name};
use tree::Tree;

/// How long a module may be, in bytes. The largest in Gatekeeper's library has 12 KiB.
pub(crate) const MAX_SOURCE: usize = 1 << 20;

/// How many parts the name of a package, of a rule or of an import may have. Each rule keeps its whole path.
const MAX_PATH: usize = 32;

/// How many faults are told. OPA stops after ten.
const MAX_FAULTS: usize = 10;

/// Collects faults of the file that is being compiled.
#[derive(Default)]
pub(crate) struct Faults {
    file: String,
    pub(crate) list: Vec<Fault>,
}

impl Faults {
    pub(crate) fn file(&mut self, name: &str) {
        if self.file != name {
            name.clone_into(&mut self.file);
        }
    }

    pub(crate) fn add(&mut self, place: Place, code: &'static str, message: String) {
        let fault = Fault { file: self.file.clone(), row: place.row, column: place.column, code, message };
        if self.list.len() < MAX_FAULTS && !self.list.contains(&fault) {
            self.list.push(fault);
        }
    }

    fn check(&mut self) -> Result<(), Vec<Fault>> {
        if self.list.is_empty() { Ok(()) } else { Err(std::mem::take(&mut self.list)) }
    }
}

/// What the compiler makes of modules.
pub(crate) struct Compiled {
    pub(crate) code: Code,
    pub(crate) managed_fields: bool,
    pub(crate) open_imports: Vec<OpenImport>,
}

/// An import that no module is meant by, with its path after `data`: a document may stand there.
pub(crate) struct OpenImport {
    pub(crate) path: Vec<String>,
    pub(crate) fault: Fault,
}

pub(crate) fn compile(modules: &[Module<'_>], dialect: Dialect) -> Result<Compiled, Vec<Fault>> {
    let mut faults = Faults::default();
    let mut files = Vec::new();
    for module in modules {
        faults.file(module.name);
        if module.text.len() > MAX_SOURCE {
            faults.add(
                Place::default(),
                "rego_parse_error",
                format!("the module has {} bytes, more than {MAX_SOURCE}: split it", module.text.len()),
            );
            continue;
        }
        match parse(module.name, module.text, dialect) {
            Ok(file) => {
                check_paths(&file, &mut faults);
                files.push(file);
            }
            Err(fault) => faults.list.push(fault),
        }
    }
    faults.check()?;

    resolve(&mut files, &mut faults);
    faults.check()?;
    let mut tree = Tree::of(&files);
    let signatures = Signatures { functions: collect_functions(&tree, &files) };
    for file in &files {
        faults.file(&file.name);
        functions::check(file, &signatures, &mut faults);
    }
    tree.check_conflicts(&files, &mut faults);
    tree.gather_partials(&files, &mut faults);
    faults.check()?;
    let managed_fields = managed::may_be_seen(&files, &signatures);
    for file in &mut files {
        for rule in &mut file.rules {
            expand::Expander::default().expand_rule(rule);
        }
    }
    let mut code = lower(&tree, &signatures, &files, &mut faults);
    if faults.list.is_empty() {
        tree.check_recursion(&files, &mut faults);
    }
    faults.check()?;
    seek::add_seeks(&tree, &mut code);
    let open_imports = find_open_imports(&files, &code);
    Ok(Compiled { code, managed_fields, open_imports })
}

fn find_open_imports(files: &[File], code: &Code) -> Vec<OpenImport> {
    let mut open = Vec::new();
    for (file, import) in files.iter().flat_map(|file| file.imports.iter().map(move |import| (file, import))) {
        let Some((root, rest)) = import.path.split_first() else { continue };
        let path: Option<Vec<&str>> = rest.iter().map(Term::as_text).collect();
        let Some(path) = path.filter(|_| root.as_var().is_some_and(|root| &**root == "data")) else { continue };
        let keys: Vec<Value> = path.iter().map(|part| Value::from(*part)).collect();
        let (node, used) = code.find(keys.iter());
        // What is below a rule is a part of its value.
        let is_rule = code.node(node).is_some_and(|node| node.kind != NodeKind::Inner);
        if used == path.len() || is_rule {
            continue;
        }
        let message = format!(
            "nothing is at `data.{}`, neither a module nor a document: what needs it is undefined; add it, or mend the import",
            path.join(".")
        );
        let Place { row, column, .. } = import.place;
        let fault = Fault { file: file.name.to_string(), row, column, code: "open_import", message };
        open.push(OpenImport { path: path.into_iter().map(str::to_owned).collect(), fault });
    }
    open
}

fn check_paths(file: &File, faults: &mut Faults) {
    let rules = file.rules.iter().map(|rule| (rule.place, rule.name.len()));
    let imports = file.imports.iter().map(|import| (import.place, import.path.len()));
    for (place, length) in rules.chain(imports).chain([(file.package_place, file.package.len())]) {
        if length > MAX_PATH {
            faults.add(
                place,
                "rego_parse_error",
                format!("a name has {length} parts, more than {MAX_PATH}: shorten it"),
            );
        }
    }
}

fn resolve(files: &mut [File], faults: &mut Faults) {
    let mut names: HashMap<Vec<Arc<str>>, BTreeSet<Arc<str>>> = HashMap::new();
    for file in files.iter() {
        let names = names.entry(file.package.clone()).or_default();
        names.extend(file.rules.iter().filter_map(|rule| rule.name.first()?.as_var().cloned()));
    }
    for file in files {
        faults.file(&file.name);
        let mut globals = Globals::new();
        let here = Place::default();
        for name in names.get(&file.package).into_iter().flatten() {
            let mut path = vec![Term::var(here, Arc::from("data"))];
            path.extend(file.package.iter().map(|part| Term::text(here, part)));
            path.push(Term::text(here, name));
            globals.insert(name.clone(), path);
        }
        for import in &file.imports {
            let last = import.path.last();
            let name = import.alias.clone().or_else(|| {
                let last = last?;
                last.as_var().cloned().or_else(|| last.as_text().map(Arc::from))
            });
            let Some(name) = name else { continue };
            if matches!(&*name, "input" | "data") {
                continue;
            }
            if globals.contains_key(&name)
                && file.modern
                && !names.get(&file.package).is_some_and(|names| names.contains(&name))
            {
                faults.add(import.place, "rego_compile_error", format!("import must not shadow import {name}"));
            }
            globals.entry(name).or_insert_with(|| import.path.clone());
        }
        for rule in &mut file.rules {
            resolve::resolve_rule(rule, &globals, faults);
        }
    }
}

fn collect_functions(tree: &Tree, files: &[File]) -> Functions {
    let mut functions = Functions::new();
    for (at, node) in tree.nodes.iter().enumerate() {
        let rules = node.rules.iter().filter_map(|(file, rule)| files.get(*file)?.rules.get(*rule));
        for rule in rules.filter(|rule| rule.kind == RuleKind::Function) {
            let id = u32::try_from(at).unwrap_or(u32::MAX);
            functions.insert(function_name(&node.path), (id, rule.arguments.len()));
        }
    }
    functions
}

fn lower(tree: &Tree, signatures: &Signatures, files: &[File], faults: &mut Faults) -> Code {
    let mut code = Code {
        nodes: Vec::with_capacity(tree.nodes.len()),
        files: files.iter().map(|file| file.name.to_string()).collect(),
        named: HashMap::new(),
    };
    let mut work = 0_usize;
    for from in &tree.nodes {
        let mut node = Node {
            children: from.children.clone(),
            name: tree::show_path(&from.path),
            path: from.path.clone(),
            is_package: from.is_package,
            ..Node::default()
        };
        for (file_at, rule_at) in &from.rules {
            let Some(file) = files.get(*file_at) else { continue };
            let Some(rule) = file.rules.get(*rule_at) else { continue };
            faults.file(&file.name);
            let lowerer = lower::Lowerer::new(tree, signatures, faults, &mut work);
            let prefix = from.path.len().saturating_sub(file.package.len());
            let made = lowerer.lower_rule(rule, prefix, u32::try_from(*file_at).unwrap_or(u32::MAX));
            let kind = kind_of(rule, prefix);
            if node.kind == NodeKind::Inner || !rule.default {
                node.kind = kind;
            }
            if rule.default {
                node.default = Some(made);
            } else {
                node.rules.push(made);
            }
        }
        if matches!(node.kind, NodeKind::Complete | NodeKind::Partial) {
            code.named.insert(node.name.clone(), u32::try_from(code.nodes.len()).unwrap_or(u32::MAX));
        }
        code.nodes.push(node);
    }
    code
}

fn kind_of(rule: &Rule, prefix: usize) -> NodeKind {
    match rule.kind {
        RuleKind::Function => NodeKind::Function,
        RuleKind::Complete if rule.name.len() == prefix => NodeKind::Complete,
        _ => NodeKind::Partial,
    }
}
