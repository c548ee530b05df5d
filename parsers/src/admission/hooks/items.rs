//! Items of a list that is written as the text of an annotation: `a=1,b=2`.

use super::at::{At, Reader};
use super::selectors::check_key;

/// Items that an annotation must have among others.
#[derive(Debug)]
pub(super) struct Items {
    key: String,
    separator: String,
    ensure: Vec<String>,
}

impl Items {
    pub(super) fn read(at: &At<'_>, reader: &mut Reader) -> Option<Self> {
        at.check_fields(&["key", "separator", "ensure"], reader);
        let key: String = at.need("key", reader)?;
        reader.note(check_key(&key).map_err(|why| at.error(why)));
        let separator = at.read_field("separator", reader).unwrap_or_else(|| ",".to_owned());
        let Some(list) = at.field("ensure") else {
            reader.refuse(at, "the field `ensure` is missing");
            return None;
        };
        let ensure: Vec<_> = reader.strings(&list).into_iter().map(|(item, _)| item).collect();
        if separator.is_empty() || ensure.iter().any(|item| item.is_empty() || item.contains(&separator)) {
            reader.refuse(at, "the `separator` must be some text, and the items must not be empty nor have it in them");
            return None;
        }
        Some(Self { key, separator, ensure })
    }

    pub(super) fn key(&self) -> &str {
        &self.key
    }

    /// The text with all items in it: as it is if it has them, or else with them first and without what had their names.
    pub(super) fn ensure(&self, value: Option<&str>) -> String {
        let old: Vec<&str> = match value.unwrap_or_default() {
            "" => Vec::new(),
            value => value.split(&*self.separator).collect(),
        };
        if self.ensure.iter().all(|item| old.contains(&item.as_str())) {
            return value.unwrap_or_default().to_owned();
        }
        let name = |item: &str| item.split_once('=').map(|(name, _)| name.to_owned());
        let names: Vec<_> = self.ensure.iter().filter_map(|item| name(item)).collect();
        let ensured = self.ensure.iter().map(String::as_str);
        let kept = old.into_iter().filter(|item| {
            !self.ensure.iter().any(|ensured| ensured == item) && !name(item).is_some_and(|name| names.contains(&name))
        });
        ensured.chain(kept).collect::<Vec<_>>().join(&self.separator)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stand_first_and_once() {
        let items = Items { key: "tags".into(), separator: ",".into(), ensure: vec!["managed=true".into()] };
        for (before, after) in [
            (None, "managed=true"),
            (Some(""), "managed=true"),
            (Some("managed=true"), "managed=true"),
            (Some("a=1,managed=true,b=2"), "a=1,managed=true,b=2"),
            (Some("a=1"), "managed=true,a=1"),
            (Some("managed=no,a=1,managed=maybe"), "managed=true,a=1"),
            (Some("!,,$,"), "managed=true,!,,$,"),
            (Some("managed"), "managed=true,managed"),
        ] {
            assert_eq!(items.ensure(before), after, "{before:?}");
        }
    }
}
