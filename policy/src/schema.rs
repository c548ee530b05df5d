//! What Kubernetes and editors are told of the strict kind: made of the tables that the loader reads by, so that neither
//! says what the other does not.

use serde_json::{Map, Value, json};

use crate::l7::Dialect;
use crate::spec::fields::{Field, METADATA, OBJECT, Shape};
use crate::spec::{STRICT_GROUP, STRICT_KIND, STRICT_VERSION};

/// The manifest of the kind `L7Policy` for Kubernetes, in YAML: `CustomResourceDefinition` with a structural schema.
pub fn crd() -> String {
    let crd = json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": format!("l7policies.{STRICT_GROUP}")},
        "spec": {
            "group": STRICT_GROUP,
            "names": {"kind": STRICT_KIND, "listKind": format!("{STRICT_KIND}List"), "plural": "l7policies", "singular": "l7policy"},
            "scope": "Namespaced",
            "versions": [{
                "name": STRICT_VERSION,
                "served": true,
                "storage": true,
                "schema": {"openAPIV3Schema": Schema { editor: false }.root()},
            }],
        },
    });
    let mut out = String::from(
        "# Generated from the loader's tables; `cargo test -p portcullis-policy` says when it is stale.\n",
    );
    write_yaml(&crd, 0, &mut out);
    out
}

/// The JSON Schema (draft 7) of the kind `L7Policy`, for editors.
pub fn json_schema() -> String {
    let mut schema = Schema { editor: true }.root();
    schema.insert("$schema".to_owned(), json!("http://json-schema.org/draft-07/schema#"));
    schema.insert("title".to_owned(), json!(STRICT_KIND));
    format!("{:#}\n", Value::Object(schema))
}

/// How a schema is written.
struct Schema {
    /// For editors, unknown fields are errors; Kubernetes has its own ways with them.
    editor: bool,
}

impl Schema {
    fn of(&self, shape: &Shape) -> Value {
        match shape {
            Shape::Open(fields) => self.open(fields),
            Shape::Text => json!({"type": "string"}),
            Shape::OneOf(words) => json!({"type": "string", "enum": words}),
            Shape::Bool => json!({"type": "boolean"}),
            Shape::Integer(least, most) => json!({"type": "integer", "minimum": least, "maximum": most}),
            Shape::Labels => json!({"type": "object", "additionalProperties": {"type": "string"}}),
            Shape::List(item) => json!({"type": "array", "items": self.of(item)}),
            Shape::Map(fields, required) => self.map(fields, required),
        }
    }

    /// The whole object.
    fn root(&self) -> Map<String, Value> {
        let properties = OBJECT.iter().map(|field| {
            let schema = match field.name {
                "apiVersion" if self.editor => json!({"const": format!("{STRICT_GROUP}/{STRICT_VERSION}")}),
                "kind" if self.editor => json!({"const": STRICT_KIND}),
                "metadata" if self.editor => Value::Object(self.object(METADATA, &["name"])),
                // Kubernetes has its own schema of it, and lets nobody write another.
                "metadata" => json!({"type": "object"}),
                _ => self.field(field),
            };
            (field.name.to_owned(), schema)
        });
        let mut schema = Map::new();
        schema.insert("type".to_owned(), json!("object"));
        schema.insert("properties".to_owned(), Value::Object(properties.collect()));
        schema.insert("anyOf".to_owned(), json!([{"required": ["spec"]}, {"required": ["specs"]}]));
        if self.editor {
            schema.insert("required".to_owned(), json!(["apiVersion", "kind", "metadata"]));
            schema.insert("additionalProperties".to_owned(), json!(false));
        }
        schema
    }

    fn map(&self, fields: &[Field], required: &[&str]) -> Value {
        let mut schema = self.object(fields, required);
        if self.editor {
            schema.insert("additionalProperties".to_owned(), json!(false));
        }
        Value::Object(schema)
    }

    fn open(&self, fields: &[Field]) -> Value {
        let mut schema = self.object(fields, &[]);
        if !self.editor {
            schema.insert("x-kubernetes-preserve-unknown-fields".to_owned(), json!(true));
        }
        Value::Object(schema)
    }

    fn object(&self, fields: &[Field], required: &[&str]) -> Map<String, Value> {
        let read = fields.iter().filter(|field| field.is_read(Dialect::Strict));
        let properties: Map<_, _> = read.map(|field| (field.name.to_owned(), self.field(field))).collect();
        let mut schema = Map::new();
        schema.insert("type".to_owned(), json!("object"));
        if !properties.is_empty() {
            schema.insert("properties".to_owned(), Value::Object(properties));
        }
        if !required.is_empty() {
            schema.insert("required".to_owned(), json!(required));
        }
        schema
    }

    fn field(&self, field: &Field) -> Value {
        let mut schema = self.of(&field.shape);
        if let Value::Object(schema) = &mut schema
            && !field.about.is_empty()
        {
            schema.insert("description".to_owned(), json!(field.about));
        }
        schema
    }
}

/// Block style; texts in quotes as JSON writes them, which YAML reads alike.
fn write_yaml(value: &Value, depth: usize, out: &mut String) {
    let indent = "  ".repeat(depth);
    let next = depth.saturating_add(1);
    match value {
        Value::Object(entries) => {
            for (key, value) in entries {
                out.push_str(&format!("{indent}{key}:"));
                write_nested(value, next, out);
            }
        }
        Value::Array(items) => {
            for item in items {
                out.push_str(&format!("{indent}-"));
                write_nested(item, next, out);
            }
        }
        leaf => out.push_str(&format!("{indent}{leaf}\n")),
    }
}

fn write_nested(value: &Value, depth: usize, out: &mut String) {
    let nested = match value {
        Value::Object(entries) => !entries.is_empty(),
        Value::Array(items) => !items.is_empty(),
        _ => false,
    };
    if nested {
        out.push('\n');
        write_yaml(value, depth, out);
    } else {
        out.push_str(&format!(" {value}\n"));
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

    use super::*;

    /// What stands in the repository is what the tables say. `PORTCULLIS_WRITE=1` writes it anew.
    #[test]
    fn the_published_schemas_are_not_stale() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../envoy-config/crds");
        for (file, wanted) in [("l7policies.portcullis.dev.yaml", crd()), ("l7policy.schema.json", json_schema())] {
            let path = format!("{folder}/{file}");
            if std::env::var_os("PORTCULLIS_WRITE").is_some() {
                std::fs::write(&path, &wanted).unwrap();
            }
            let found = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
            let hint = "is stale: run `PORTCULLIS_WRITE=1 cargo test -p portcullis-policy schema`";
            assert!(found == wanted, "{path} {hint}");
        }
    }

    #[test]
    fn the_manifest_is_yaml_of_the_same_tree() {
        let documents = crate::Node::load("crd", crd().as_bytes()).unwrap();
        let [crd] = documents.as_slice() else { panic!("not one document") };
        let spec = ["spec", "versions"].iter().try_fold(crd, |node, key| node.entry(key)).unwrap();
        let crate::Value::List(versions) = &spec.value else { panic!("no list") };
        let way = ["schema", "openAPIV3Schema", "properties", "spec", "properties", "ingress", "items", "properties"];
        let rule = way.iter().try_fold(&versions[0], |node, key| node.entry(key)).unwrap();
        for field in ["name", "mode", "fromPeers", "fromEndpoints", "toPorts"] {
            assert!(rule.entry(field).is_some(), "{field}");
        }
        assert!(rule.entry("icmps").is_none(), "what is refused is published");
    }
}
