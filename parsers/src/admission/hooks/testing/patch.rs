//! Applies JSON Patches (RFC 6902), as the API server would. For tests, never for reviews.

use serde_json::Value as Json;

/// The object with a patch applied.
///
/// # Errors
/// The operation that does not apply, and why.
pub fn apply(object: &Json, patch: &[u8]) -> Result<Json, String> {
    let patch: Json = serde_json::from_slice(patch).map_err(|error| format!("not JSON: {error}"))?;
    let Json::Array(operations) = patch else { return Err("not a list".to_owned()) };
    let mut object = object.clone();
    for operation in &operations {
        let text = |name| operation.get(name).and_then(Json::as_str).unwrap_or_default();
        let (name, path) = (text("op"), text("path"));
        let fault = |why: &str| format!("`{name}` at `{path}`: {why}");
        let (parent, key) = path.rsplit_once('/').ok_or_else(|| fault("not a path in the object"))?;
        let key = key.replace("~1", "/").replace("~0", "~");
        let parent = object.pointer_mut(parent).ok_or_else(|| fault("there is no such place"))?;
        let value = operation.get("value").cloned();
        edit(parent, name, &key, value).map_err(|why| fault(&why))?;
    }
    Ok(object)
}

fn edit(parent: &mut Json, name: &str, key: &str, value: Option<Json>) -> Result<(), String> {
    match parent {
        Json::Object(map) => match (name, value) {
            ("add", Some(value)) => {
                map.insert(key.to_owned(), value);
            }
            ("replace", Some(value)) => {
                *map.get_mut(key).ok_or("there is nothing to replace")? = value;
            }
            ("remove", None) => {
                map.remove(key).ok_or("there is nothing to remove")?;
            }
            _ => return Err("not an operation that is made here".to_owned()),
        },
        Json::Array(list) => {
            let index = key.parse::<usize>().ok().and_then(|index| list.get_mut(index));
            match (name, value, index) {
                ("replace", Some(value), Some(item)) => *item = value,
                _ => return Err("not an operation that is made here".to_owned()),
            }
        }
        _ => return Err("the place before it is neither a map nor a list".to_owned()),
    }
    Ok(())
}

/// Notes where an object is not what a part of it is said to be. In a map, null says that a key is not there; lists are
/// said whole.
pub(super) fn compare_part(wanted: &Json, have: &Json, path: &str, failures: &mut Vec<String>) {
    match (wanted, have) {
        (Json::Object(wanted), Json::Object(map)) => {
            for (key, wanted) in wanted {
                let path = format!("{path}/{}", key.replace('~', "~0").replace('/', "~1"));
                match map.get(key) {
                    Some(have) => compare_part(wanted, have, &path, failures),
                    None if wanted.is_null() => {}
                    None => failures.push(format!("expected {wanted} at `{path}` of the patched object, got nothing")),
                }
            }
        }
        (Json::Array(wanted), Json::Array(list)) if wanted.len() == list.len() => {
            for (index, (wanted, have)) in wanted.iter().zip(list).enumerate() {
                compare_part(wanted, have, &format!("{path}/{index}"), failures);
            }
        }
        (wanted, have) if wanted == have => {}
        _ => failures.push(format!("expected {wanted} at `{path}` of the patched object, got {have}")),
    }
}
