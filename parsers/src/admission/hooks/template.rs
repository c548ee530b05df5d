//! Texts with holes: `image {{image}} is not from {{lists.registries}}`.

use super::at::{At, Reader, allowed, shorten};
use super::context::Context;
use super::found::Found;

/// A text with holes. Lists are filled in when it is read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Template(Vec<Part>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Hole(Hole),
}

/// What a review fills in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hole {
    User,
    Operation,
    Kind,
    Resource,
    Name,
    Namespace,
    Image,
    Container,
    Missing,
    Label,
    Path,
}

impl Hole {
    const ALL: [(&'static str, Self); 11] = [
        ("user", Self::User),
        ("operation", Self::Operation),
        ("kind", Self::Kind),
        ("resource", Self::Resource),
        ("name", Self::Name),
        ("namespace", Self::Namespace),
        ("image", Self::Image),
        ("container", Self::Container),
        ("missing", Self::Missing),
        ("label", Self::Label),
        ("path", Self::Path),
    ];
}

/// Characters of a review that one hole takes; the rest is cut off. Names have up to 253.
const MAX_FILLED: usize = 512;
/// Bytes of a text with its lists filled in. It ends up in answers and documentation.
const MAX_TEMPLATE: usize = 64 << 10;

impl Template {
    /// Reads a text with holes of all kinds.
    pub(super) fn read(at: &At<'_>, reader: &mut Reader) -> Self {
        Self::read_with(at, reader, &Hole::ALL)
    }

    /// Reads a text in which only lists may be filled in.
    pub(super) fn read_constant(at: &At<'_>, reader: &mut Reader) -> String {
        let Self(parts) = Self::read_with(at, reader, &[]);
        parts.into_iter().filter_map(|part| if let Part::Text(text) = part { Some(text) } else { None }).collect()
    }

    fn read_with(at: &At<'_>, reader: &mut Reader, holes: &[(&str, Hole)]) -> Self {
        let mut parts = Vec::new();
        let Some(text) = at.read::<String>(reader) else { return Self(parts) };
        let mut filled = String::new();
        let mut rest = text.as_str();
        while let Some((before, after)) = rest.split_once("{{") {
            filled.push_str(before);
            let Some((name, after)) = after.split_once("}}") else {
                reader.refuse(at, "`{{` without `}}` after it");
                break;
            };
            rest = after;
            let name = name.trim();
            if let Some(list) = name.strip_prefix("lists.").and_then(|list| reader.lists.get_mut(list)) {
                list.used = true;
                filled.push_str(&list.items.join(", "));
            } else if let Some((_, hole)) = holes.iter().find(|(known, _)| *known == name) {
                parts.push(Part::Text(std::mem::take(&mut filled)));
                parts.push(Part::Hole(*hole));
            } else {
                let lists: Vec<_> = reader.lists.keys().map(|list| format!("lists.{list}")).collect();
                let known: Vec<_> =
                    holes.iter().map(|(name, _)| *name).chain(lists.iter().map(String::as_str)).collect();
                let message = format!("`{{{{{}}}}}` is not known here; {}", shorten(name), allowed(&known));
                reader.refuse(at, message);
            }
        }
        filled.push_str(rest);
        parts.push(Part::Text(filled));
        parts.retain(|part| !matches!(part, Part::Text(text) if text.is_empty()));
        let length: usize = parts.iter().map(|part| if let Part::Text(text) = part { text.len() } else { 0 }).sum();
        if length > MAX_TEMPLATE {
            reader.refuse(at, format!("the text has more than {MAX_TEMPLATE} bytes with its lists; make it shorter"));
        }
        Self(parts)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The holes that a condition fills, by their names.
    pub(super) fn asked_of_conditions(&self) -> impl Iterator<Item = (&'static str, Hole)> {
        let filled = |hole| {
            matches!(hole, Hole::Image | Hole::Container | Hole::Missing | Hole::Label | Hole::Path)
                && self.0.contains(&Part::Hole(hole))
        };
        Hole::ALL.into_iter().filter(move |(_, hole)| filled(*hole))
    }

    /// Fills the holes: from the review, and from what made a condition hold.
    pub(super) fn render<'d>(&self, context: &Context<'_, 'd>, found: &Found<'_, 'd>) -> String {
        let mut out = String::new();
        for part in &self.0 {
            match part {
                Part::Text(text) => out.push_str(text),
                Part::Hole(hole) => fill(&mut out, *hole, context, found),
            }
        }
        out
    }
}

fn fill<'d>(out: &mut String, hole: Hole, context: &Context<'_, 'd>, found: &Found<'_, 'd>) {
    let review = context.review;
    match hole {
        Hole::User => add(out, &review.user.username),
        Hole::Operation => out.push_str(review.operation.as_str()),
        Hole::Kind => add(out, &review.kind.kind),
        Hole::Resource => {
            add(out, &review.resource.resource);
            for (mark, part) in [('.', &review.resource.group), ('/', &review.sub_resource)] {
                if !part.is_empty() {
                    out.push(mark);
                    add(out, part);
                }
            }
        }
        Hole::Name => add(out, &context.name().unwrap_or_default()),
        Hole::Namespace => add(out, &context.namespace().unwrap_or_default()),
        Hole::Image => add(out, &found.image()),
        Hole::Container => add(out, &found.container()),
        Hole::Missing => out.push_str(&found.missing(context)),
        Hole::Label => add(out, &found.label()),
        Hole::Path => add(out, &found.path()),
    }
}

/// Adds text of a client: it ends up on terminals, so what would move the cursor or hide text is escaped.
fn add(out: &mut String, text: &str) {
    for (n, character) in text.chars().enumerate() {
        let hides = matches!(character, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}');
        if n >= MAX_FILLED {
            out.push('…');
            break;
        } else if character.is_control() || hides {
            out.extend(character.escape_default());
        } else {
            out.push(character);
        }
    }
}
