//! A script as a function that can be run anew for each review.

use super::engine::{Form, Source};

/// The text of a function of the script that gives what it names: `[validate, default]`. It has [`HEADER_LINES`] lines more.
///
/// There is none where the function could mean anything else than the script: then each review gets an engine of its own. The script
/// has been run as it is before, so that it is one whole, and its braces close none of those around it; `exported` says what it
/// then had.
pub(crate) fn wrap(source: &Source, exported: [bool; 2]) -> Option<String> {
    let Source { text, form, files, .. } = source;
    if text.len().saturating_add(files.bytes()) > MAX_TEXT || text.starts_with("#!") {
        return None;
    }
    match form {
        // Its functions would be found in the global object.
        Form::Script if ["globalThis", "this.", "this["].iter().any(|word| text.contains(word)) => None,
        Form::Script => {
            Some(format!("(() => {{\n{text}\n;return [typeof validate === 'function' ? validate : undefined]\n}})"))
        }
        // Only a module takes these words and signs for what they are there.
        Form::Module if ["await", "import", "<!--", "-->"].iter().any(|word| text.contains(word)) => None,
        Form::Module => {
            let Body { text, validate, default } = Body::read(text)?;
            if [validate.is_some(), default.is_some()] != exported {
                return None;
            }
            let name = |name: Option<String>| name.unwrap_or_else(|| "undefined".to_owned());
            Some(format!("'use strict';(() => {{\n{text}\n;return [{}, {}]\n}})", name(validate), name(default)))
        }
    }
}

/// A module without its `export`s: what they name instead. Places stay as they are.
#[derive(Default)]
struct Body {
    text: String,
    validate: Option<String>,
    default: Option<String>,
}

impl Body {
    fn read(text: &str) -> Option<Self> {
        let mut body = Self::default();
        let mut rest = text;
        while let Some(at) = rest.find("export") {
            let (before, from) = rest.split_at_checked(at)?;
            let (word, after) = from.split_at_checked("export".len())?;
            body.text.push_str(before);
            let line = body.text.rsplit('\n').next().unwrap_or_default();
            // `exports.validate` and the like. What else holds the word may be a text over many lines.
            let is_word = !after.starts_with(is_part_of_name) && !body.text.ends_with(is_part_of_name);
            rest = if is_word && line.trim().is_empty() && body.text.matches('`').count().is_multiple_of(2) {
                body.read_export(after)?
            } else {
                body.text.push_str(word);
                after
            };
        }
        body.text.push_str(rest);
        Some(body)
    }

    /// What follows the word; gives what follows that.
    fn read_export<'t>(&mut self, after: &'t str) -> Option<&'t str> {
        let declaration = after.strip_prefix([' ', '\t'])?;
        if let Some(list) = declaration.strip_prefix('{') {
            let (list, rest) = list.split_once('}')?;
            self.text.push_str("       ");
            self.text.push(';');
            self.text.extend(list.chars().filter(|c| *c == '\n'));
            for item in list.split(',').map(str::trim).filter(|item| !item.is_empty()) {
                let (name, exported) = match item.split_once(" as ") {
                    Some((name, exported)) => (name.trim(), exported.trim()),
                    None => (item, item),
                };
                self.name(name, exported)?;
            }
            return (!rest.trim_start().starts_with("from")).then_some(rest);
        }
        if let Some(value) = declaration.strip_prefix("default") {
            let is_function = value.strip_prefix(" function").filter(|rest| !rest.starts_with(is_part_of_name));
            return match is_function {
                Some(rest) if rest.trim_start().starts_with('(') => {
                    self.name(DEFAULT, "default")?;
                    self.text.push_str("function $default      ");
                    Some(rest)
                }
                Some(rest) => {
                    let name: String = rest.strip_prefix(' ')?.chars().take_while(|c| is_part_of_name(*c)).collect();
                    self.name(&name, "default")?;
                    self.text.push_str("              ");
                    Some(value)
                }
                // Functions that wait and classes judge nothing.
                None if value.starts_with(" async") || value.starts_with(" class") => None,
                None if value.starts_with(is_part_of_name) => None,
                None => {
                    self.name(DEFAULT, "default")?;
                    self.text.push_str("let $default =");
                    Some(value)
                }
            };
        }
        let (kind, named) = declaration.split_once(' ')?;
        if !["const", "let", "var", "function"].contains(&kind) {
            return None;
        }
        let name: String = named.chars().take_while(|c| is_part_of_name(*c)).collect();
        self.name(&name, &name)?;
        self.text.push_str("      ");
        Some(after)
    }

    /// Notes what is exported as what, if that matters.
    fn name(&mut self, name: &str, exported: &str) -> Option<()> {
        let is_name = name.starts_with(|c: char| !c.is_ascii_digit()) && name.chars().all(is_part_of_name);
        if !is_name || !exported.chars().all(is_part_of_name) {
            return None;
        }
        let place = match exported {
            "validate" => &mut self.validate,
            "default" => &mut self.default,
            _ => return Some(()),
        };
        place.replace(name.to_owned()).is_none().then_some(())
    }
}

fn is_part_of_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == '$'
}

/// What is exported as the default gets this name: as long as `export default` with its sign.
const DEFAULT: &str = "$default";

/// Lines before the script in the function.
pub(crate) const HEADER_LINES: u32 = 1;

/// Bytes of a script with its files that are run anew for each review: it should cost little beside the review.
const MAX_TEXT: usize = 16 << 10;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Files;

    fn wrapped(form: Form, text: &str, exported: [bool; 2]) -> Option<String> {
        wrap(&Source { text: text.to_owned(), form, files: Files::default(), function: None }, exported)
    }

    #[test]
    fn exports_become_names() {
        for (text, body, named) in [
            ("export function validate(r) {}", "       function validate(r) {}", "[validate, undefined]"),
            (" export const validate = 1", "        const validate = 1", "[validate, undefined]"),
            ("export default { validate }", "let $default = { validate }", "[undefined, $default]"),
            ("export default function (r) {}", "function $default       (r) {}", "[undefined, $default]"),
            ("export default function check(r) {}", "               function check(r) {}", "[undefined, check]"),
            ("function a() {}\nexport { a as validate,\n b }\n", "function a() {}\n       ;\n\n", "[a, undefined]"),
            (
                "export let a = 1;\nexport let validate",
                "       let a = 1;\n       let validate",
                "[validate, undefined]",
            ),
            ("module.exports = 1 // export", "module.exports = 1 // export", "[undefined, undefined]"),
            ("`\nexport let a`\n", "`\nexport let a`\n", "[undefined, undefined]"),
        ] {
            let exported = [!named.starts_with("[undefined"), !named.ends_with("undefined]")];
            let wanted = format!("'use strict';(() => {{\n{body}\n;return {named}\n}})");
            assert_eq!(wrapped(Form::Module, text, exported), Some(wanted), "{text}");
            assert_eq!(wrapped(Form::Module, text, [true, true]), None, "{text}");
        }
    }

    #[test]
    fn what_could_mean_something_else_is_left_alone() {
        for text in [
            "export * from 'a'",
            "export { a } from 'a'",
            "export const {validate} = a",
            "export class validate {}",
            "export async function validate() {}",
            "export default async () => 1",
            "export default class {}",
            "export { 'a' as validate }",
            "import a from 'a'",
            "export const validate = await 1",
            "export const a = 1 <!-- 2",
            "#!/bin/sh\nexport let a",
        ] {
            let told =
                [[false, false], [true, false], [false, true]].map(|exported| wrapped(Form::Module, text, exported));
            assert_eq!(told, [None, None, None], "{text}");
        }
        for text in ["globalThis.a = 1", "this.a = 1", "#!/bin/sh"] {
            assert_eq!(wrapped(Form::Script, text, [false, false]), None, "{text}");
        }
        assert_eq!(wrapped(Form::Script, &" ".repeat(MAX_TEXT + 1), [false, false]), None);
    }
}
