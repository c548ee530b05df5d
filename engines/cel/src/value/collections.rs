//! Lists and maps: those of a document, and those that an expression built.

use std::borrow::Cow;
use std::collections::HashMap;
use std::rc::Rc;

use portcullis_json as json;

use super::{Fixed, FixedMap, Key, KeyRef, Str, Value};
use crate::error::EvalError;

/// How deep lists, maps and optionals may be nested that an expression builds: comparing and dropping them recurses.
const MAX_DEPTH: u32 = 256;

/// From how many entries on a map has an index.
const INDEXED: usize = 16;

/// Up to how many entries a map of a document is looked through for a key, so that it is not asked for each of them. Larger ones
/// have an index.
const SCANNED: usize = 1024;

/// A list.
#[derive(Clone, Debug)]
pub struct List<'v>(ListKind<'v>);

#[derive(Clone, Debug)]
enum ListKind<'v> {
    Json(json::Value<'v>),
    Fixed(&'v [Fixed]),
    Built { items: Rc<[Value<'v>]>, depth: u32 },
}

impl<'v> List<'v> {
    pub(super) fn from_json(value: json::Value<'v>) -> Self {
        Self(ListKind::Json(value))
    }

    pub(super) fn from_fixed(items: &'v [Fixed]) -> Self {
        Self(ListKind::Fixed(items))
    }

    /// How many items it has. Of a list of a document they are counted each time.
    pub fn len(&self) -> usize {
        match &self.0 {
            ListKind::Json(value) => value.items().count(),
            ListKind::Fixed(items) => items.len(),
            ListKind::Built { items, .. } => items.len(),
        }
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        match &self.0 {
            ListKind::Json(value) => value.items().next().is_none(),
            ListKind::Fixed(items) => items.is_empty(),
            ListKind::Built { items, .. } => items.is_empty(),
        }
    }

    /// An item. Of a list of a document all before it are passed over.
    pub fn get(&self, index: usize) -> Option<Value<'v>> {
        match &self.0 {
            ListKind::Json(value) => value.items().nth(index).map(Value::from),
            ListKind::Fixed(items) => items.get(index).map(Fixed::to_value),
            ListKind::Built { items, .. } => items.get(index).cloned(),
        }
    }

    /// The items.
    pub fn items(&self) -> ListItems<'v> {
        match &self.0 {
            ListKind::Json(value) => ListItems(Items::Json(value.items())),
            ListKind::Fixed(items) => ListItems(Items::Fixed(items.iter())),
            ListKind::Built { items, .. } => ListItems(Items::Built(Rc::clone(items), 0)),
        }
    }

    pub(super) fn depth(&self) -> u32 {
        match &self.0 {
            ListKind::Json(_) | ListKind::Fixed(_) => 0,
            ListKind::Built { depth, .. } => *depth,
        }
    }

    /// A list of these.
    ///
    /// # Errors
    ///
    /// It would be nested too deep.
    pub(crate) fn build(items: Vec<Value<'v>>) -> Result<Self, EvalError> {
        let depth = deeper(items.iter().map(Value::depth))?;
        Ok(Self(ListKind::Built { items: items.into(), depth }))
    }
}

impl<'v> From<Vec<Value<'v>>> for List<'v> {
    /// For the lists of functions, whose items are texts or numbers or those of another list.
    fn from(items: Vec<Value<'v>>) -> Self {
        let depth = items.iter().map(Value::depth).max().unwrap_or(0).saturating_add(1);
        Self(ListKind::Built { items: items.into(), depth })
    }
}

fn deeper(depths: impl Iterator<Item = u32>) -> Result<u32, EvalError> {
    let depth = depths.max().unwrap_or(0).saturating_add(1);
    if depth > MAX_DEPTH {
        return Err(EvalError::failed(format!("values are nested deeper than {MAX_DEPTH}")));
    }
    Ok(depth)
}

/// The items of a list.
#[derive(Clone, Debug)]
pub struct ListItems<'v>(Items<'v>);

#[derive(Clone, Debug)]
enum Items<'v> {
    Json(json::Items<'v>),
    Fixed(std::slice::Iter<'v, Fixed>),
    Built(Rc<[Value<'v>]>, usize),
}

impl<'v> Iterator for ListItems<'v> {
    type Item = Value<'v>;

    fn next(&mut self) -> Option<Value<'v>> {
        match &mut self.0 {
            Items::Json(items) => items.next().map(Value::from),
            Items::Fixed(items) => items.next().map(Fixed::to_value),
            Items::Built(items, next) => {
                let item = items.get(*next)?.clone();
                *next = next.saturating_add(1);
                Some(item)
            }
        }
    }
}

/// A map.
#[derive(Clone, Debug)]
pub struct Map<'v>(MapKind<'v>);

#[derive(Clone, Debug)]
enum MapKind<'v> {
    Json(json::Value<'v>),
    Fixed(&'v FixedMap),
    Built(Rc<Built<'v>>),
}

#[derive(Debug)]
struct Built<'v> {
    entries: Vec<(Key<'v>, Value<'v>)>,
    index: HashMap<u64, Vec<u32>>,
    depth: u32,
}

impl<'v> Map<'v> {
    pub(super) fn from_json(value: json::Value<'v>) -> Self {
        Self(MapKind::Json(value))
    }

    pub(super) fn from_fixed(map: &'v FixedMap) -> Self {
        Self(MapKind::Fixed(map))
    }

    /// How many entries it has. Of a map of a document they are counted each time.
    pub fn len(&self) -> usize {
        match &self.0 {
            MapKind::Json(_) => self.entries().count(),
            MapKind::Fixed(map) => map.len(),
            MapKind::Built(built) => built.entries.len(),
        }
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        match &self.0 {
            MapKind::Json(value) => value.entries().next().is_none(),
            MapKind::Fixed(map) => map.len() == 0,
            MapKind::Built(built) => built.entries.is_empty(),
        }
    }

    /// The value of a key. Numbers of different types are the same key where they are the same number.
    pub fn get(&self, key: KeyRef<'_>) -> Option<Value<'v>> {
        match &self.0 {
            MapKind::Json(value) => match key {
                KeyRef::Text(key) => value.get(key).map(Value::from),
                _ => None,
            },
            MapKind::Fixed(map) => map.get(key).map(Fixed::to_value),
            MapKind::Built(built) => built.find(key).map(|(_, value)| value.clone()),
        }
    }

    /// Whether it has a key.
    pub fn contains(&self, key: KeyRef<'_>) -> bool {
        match &self.0 {
            MapKind::Json(value) => matches!(key, KeyRef::Text(key) if value.get(key).is_some()),
            MapKind::Fixed(map) => map.get(key).is_some(),
            MapKind::Built(built) => built.find(key).is_some(),
        }
    }

    /// The entries. Of a key that stands twice in a document it is the last one.
    pub fn entries(&self) -> MapEntries<'v> {
        match &self.0 {
            MapKind::Json(value) => MapEntries(Entries::Json(*value, value.entries(), find_last(*value))),
            MapKind::Fixed(map) => MapEntries(Entries::Fixed(map, 0)),
            MapKind::Built(built) => MapEntries(Entries::Built(Rc::clone(built), 0)),
        }
    }

    pub(super) fn depth(&self) -> u32 {
        match &self.0 {
            MapKind::Json(_) | MapKind::Fixed(_) => 0,
            MapKind::Built(built) => built.depth,
        }
    }

    /// A map of these.
    ///
    /// # Errors
    ///
    /// A key stands there twice, or it would be nested too deep.
    pub(crate) fn build(entries: Vec<(Key<'v>, Value<'v>)>) -> Result<Self, EvalError> {
        let mut map = Self::default();
        for (key, value) in entries {
            map.insert(key, value)?;
        }
        Ok(map)
    }

    /// Adds an entry to a map that is being built, and that nothing else refers to yet.
    ///
    /// # Errors
    ///
    /// The key is there already, or the map would be nested too deep.
    pub(crate) fn insert(&mut self, key: Key<'v>, value: Value<'v>) -> Result<(), EvalError> {
        match &mut self.0 {
            MapKind::Built(built) => match Rc::get_mut(built) {
                Some(built) => built.insert(key, value),
                None => Err(EvalError::failed("the map is in use")),
            },
            MapKind::Json(_) | MapKind::Fixed(_) => Err(EvalError::failed("the map is in use")),
        }
    }
}

impl Default for Map<'_> {
    fn default() -> Self {
        Self(MapKind::Built(Rc::new(Built { entries: Vec::new(), index: HashMap::new(), depth: 1 })))
    }
}

impl<'v> Built<'v> {
    fn insert(&mut self, key: Key<'v>, value: Value<'v>) -> Result<(), EvalError> {
        self.depth = self.depth.max(deeper(std::iter::once(value.depth()))?);
        if self.find(key.as_ref()).is_some() {
            return Err(EvalError::failed(format!("insert failed: key {} already exists", key.quoted())));
        }
        self.entries.push((key, value));
        let unindexed = match self.entries.len() {
            length if length < INDEXED => return Ok(()),
            INDEXED => 0,
            length => length.saturating_sub(1),
        };
        for (at, (key, _)) in self.entries.iter().enumerate().skip(unindexed) {
            self.index.entry(key.as_ref().hash()).or_default().push(u32::try_from(at).unwrap_or(u32::MAX));
        }
        Ok(())
    }

    fn find(&self, key: KeyRef<'_>) -> Option<&(Key<'v>, Value<'v>)> {
        if self.index.is_empty() {
            return self.entries.iter().find(|(name, _)| name.as_ref().same(key));
        }
        let places = self.index.get(&key.hash())?;
        places.iter().filter_map(|at| self.entries.get(*at as usize)).find(|(name, _)| name.as_ref().same(key))
    }
}

/// The entries of a map.
#[derive(Clone, Debug)]
pub struct MapEntries<'v>(Entries<'v>);

#[derive(Clone, Debug)]
enum Entries<'v> {
    Json(json::Value<'v>, json::Entries<'v>, Option<Rc<Last<'v>>>),
    Fixed(&'v FixedMap, usize),
    Built(Rc<Built<'v>>, usize),
}

/// The last value of each key, as it stands in its document.
type Last<'v> = HashMap<Cow<'v, str>, &'v [u8]>;

/// The last values of a map that has no index, and is too large to be looked through for each of its keys.
fn find_last(map: json::Value<'_>) -> Option<Rc<Last<'_>>> {
    let count = map.entries().take(SCANNED.saturating_add(1)).count();
    (INDEXED..=SCANNED)
        .contains(&count)
        .then(|| Rc::new(map.entries().map(|(name, value)| (name.to_cow(), value.raw())).collect()))
}

impl<'v> Iterator for MapEntries<'v> {
    type Item = (Key<'v>, Value<'v>);

    fn next(&mut self) -> Option<Self::Item> {
        match &mut self.0 {
            Entries::Json(map, entries, known) => loop {
                let (name, value) = entries.next()?;
                let name = name.to_cow();
                let last = match known {
                    Some(known) => known.get(&name).copied(),
                    None => map.get(&name).map(json::Value::raw),
                };
                // "Of a key that stands twice the last one counts": the others are passed over.
                if last.is_some_and(|last| std::ptr::eq(last, value.raw())) {
                    return Some((Key::Text(Str::from(name)), Value::from(value)));
                }
            },
            Entries::Fixed(map, next) => {
                let entry = map.entry(*next)?;
                *next = next.saturating_add(1);
                Some(entry)
            }
            Entries::Built(built, next) => {
                let entry = built.entries.get(*next)?.clone();
                *next = next.saturating_add(1);
                Some(entry)
            }
        }
    }
}
