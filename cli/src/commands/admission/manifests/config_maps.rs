//! The files of hooks in ConfigMaps, which hold a limited amount each.

use std::collections::BTreeMap;

use anyhow::bail;
use portcullis_policy::Source;
use serde_json::{Value, json};

/// "The data stored in a ConfigMap cannot exceed 1 MiB": etcd's limit of a request is the reason.
const MAX_BYTES: usize = 1 << 20;

/// What is put together. `kubectl apply` keeps a copy of an object in its annotations, and "the total size of all annotations
/// must not exceed 256 KiB": an object of this size still fits, as JSON.
const FULL_BYTES: usize = 224 << 10;

/// ConfigMaps with these files, in the order of their names.
pub(super) fn pack(sources: &[&Source], metadata: &dyn Fn(usize) -> Value) -> anyhow::Result<Vec<Value>> {
    let mut maps = Vec::new();
    let (mut data, mut size) = (BTreeMap::new(), 0);
    for (name, text) in files(sources)? {
        let bytes = name.len() + text.len();
        if bytes > MAX_BYTES {
            bail!("`{name}` has {} KiB, and a ConfigMap holds 1024: split it", text.len() >> 10);
        }
        let as_json = json!(text).to_string().len() + name.len();
        if size > 0 && size + as_json > FULL_BYTES {
            maps.push(std::mem::take(&mut data));
            size = 0;
        }
        size += as_json;
        data.insert(name, text);
    }
    maps.push(data);
    let object = |(nth, data): (usize, BTreeMap<String, String>)| json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata(nth), "data": data});
    Ok(maps.into_iter().enumerate().map(object).collect())
}

/// The files by their own names, which must differ: they come into one directory.
pub(super) fn files(sources: &[&Source]) -> anyhow::Result<BTreeMap<String, String>> {
    let mut files = BTreeMap::new();
    for source in sources {
        let name = source.name.rsplit('/').next().unwrap_or(&source.name).to_owned();
        let is_key = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
        if name.is_empty() || !name.chars().all(is_key) || name.starts_with("..") {
            bail!(
                "`{}` cannot be a key of a ConfigMap: rename it, with letters, digits, `-`, `_` and `.`",
                source.name
            );
        }
        let Ok(text) = String::from_utf8(source.text.clone()) else { bail!("`{}` is not UTF-8", source.name) };
        if files.insert(name.clone(), text).is_some() {
            bail!("two files are named `{name}`, and come into one directory: rename one");
        }
    }
    Ok(files)
}
