//! Scans of documents that an index makes short.

use std::ops::Range;
use std::sync::Arc;

use regorus::Value;

use super::index::{Index, is_scalar};
use super::{Evaluated, Machine, Then};
use crate::code::{Key, Seek};

impl<'c> Machine<'c> {
    /// As a scan, but without the elements that an equality further on cannot hold for.
    pub(super) fn seek(&mut self, seek: &'c Seek, then: Then<'_, 'c>) -> Evaluated<bool> {
        let Some((index, range)) = self.candidates(seek)? else {
            return self.scan(&seek.made, &seek.pattern, then);
        };
        let (base, rest) = seek.made.keys.split_at_checked(seek.shape.base.len()).unwrap_or_default();
        let depth = self.data_depth;
        for entry in range {
            self.context.limits.step()?;
            let Some(element) = index.element(entry) else { continue };
            if self.is_at(base, &element.names)? && self.scan_value(&element.value, depth, rest, &seek.pattern, then)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Where to look for elements; nothing where all of them must be looked at.
    fn candidates(&mut self, seek: &'c Seek) -> Evaluated<Option<(Arc<Index>, Range<usize>)>> {
        // What replaces a document has no index, and what replaces a function may fail where the function does not.
        let Some(indexes) = self.indexes.filter(|_| self.mocks.is_empty()) else { return Ok(None) };
        let Some(sought) = self.term(&seek.sought)?.filter(is_scalar) else { return Ok(None) };
        let base = seek.made.keys.iter().take(seek.shape.base.len());
        for key in base {
            // A number may mean a place in a list.
            if let Key::Slot(slot) = key
                && !matches!(self.slot(*slot), Value::String(_))
            {
                return Ok(None);
            }
        }
        let Some(index) = indexes.find(&seek.shape, &self.data, &mut self.context.limits)? else { return Ok(None) };
        let range = index.range(&sought);
        Ok(Some((index, range)))
    }

    /// Whether the keys lead to these names. Variables that have no value yet get theirs.
    fn is_at(&mut self, keys: &'c [Key], names: &[Value]) -> Evaluated<bool> {
        let open = keys.iter().filter(|key| !matches!(key, Key::Const(_)));
        for (key, name) in open.zip(names) {
            let found = match key {
                Key::Any(wanted) => {
                    self.depth = self.data_depth;
                    self.matches(wanted, name)?
                }
                Key::Slot(slot) => self.slot(*slot) == *name,
                Key::Const(_) | Key::Term(_) => false,
            };
            if !found {
                return Ok(false);
            }
        }
        Ok(true)
    }
}
