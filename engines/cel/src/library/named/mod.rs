//! `format.dns1123Label().validate(x)`: the formats of names and values that Kubernetes knows.

mod checks;
#[cfg(test)]
mod tests;

use std::any::Any;

use crate::error::EvalError;
use crate::function::Style::{Global, Receiver};
use crate::function::{Call, Function, Overload, cost};
use crate::types::Type;
use crate::value::{Opaque, Value};

pub(super) const FUNCTIONS: &[Function] = &[
    Function {
        name: "format.named",
        style: Global,
        overloads: &[Overload { parameters: &[Type::String], result: Type::Optional(&KIND) }],
        cost: cost::one,
        pattern: None,
        call: |call| {
            let name = call.text(0)?;
            let format = FORMATS.iter().find(|format| format.name == name);
            Ok(Value::Optional(format.map(|format| Value::opaque(format.clone()).into())))
        },
    },
    Function {
        name: "validate",
        style: Receiver,
        overloads: &[Overload {
            parameters: &[KIND, Type::String],
            result: Type::Optional(&Type::List(&Type::String)),
        }],
        cost: check_cost,
        pattern: None,
        call: validate,
    },
    constant("format.dns1123Label", |_| Ok(Value::opaque(DNS_1123_LABEL))),
    constant("format.dns1123Subdomain", |_| Ok(Value::opaque(DNS_1123_SUBDOMAIN))),
    constant("format.dns1035Label", |_| Ok(Value::opaque(DNS_1035_LABEL))),
    constant("format.qualifiedName", |_| Ok(Value::opaque(QUALIFIED_NAME))),
    constant("format.dns1123LabelPrefix", |_| Ok(Value::opaque(DNS_1123_LABEL_PREFIX))),
    constant("format.dns1123SubdomainPrefix", |_| Ok(Value::opaque(DNS_1123_SUBDOMAIN_PREFIX))),
    constant("format.dns1035LabelPrefix", |_| Ok(Value::opaque(DNS_1035_LABEL_PREFIX))),
    constant("format.labelValue", |_| Ok(Value::opaque(LABEL_VALUE))),
    constant("format.uri", |_| Ok(Value::opaque(URI))),
    constant("format.uuid", |_| Ok(Value::opaque(UUID))),
    constant("format.byte", |_| Ok(Value::opaque(BYTE))),
    constant("format.date", |_| Ok(Value::opaque(DATE))),
    constant("format.datetime", |_| Ok(Value::opaque(DATETIME))),
];

const KIND: Type = Type::Opaque("kubernetes.NamedFormat");

/// A format.
#[derive(Clone, Debug)]
struct Format {
    name: &'static str,
    /// The length of the regular expression that Kubernetes takes it to be checked by.
    pattern: u64,
    /// What is wrong with a text; nothing if it has the format.
    check: fn(&str) -> Vec<String>,
}

const DNS_1123_LABEL: Format =
    Format { name: "dns1123Label", pattern: 30, check: |text| checks::dns_1123_label(text.as_bytes()) };
const DNS_1123_SUBDOMAIN: Format =
    Format { name: "dns1123Subdomain", pattern: 60, check: |text| checks::dns_1123_subdomain(text.as_bytes()) };
const DNS_1035_LABEL: Format =
    Format { name: "dns1035Label", pattern: 30, check: |text| checks::dns_1035_label(text.as_bytes()) };
const QUALIFIED_NAME: Format = Format { name: "qualifiedName", pattern: 60, check: checks::qualified_name };
const DNS_1123_LABEL_PREFIX: Format =
    Format { name: "dns1123LabelPrefix", pattern: 30, check: |text| checks::dns_1123_label(&checks::masked(text)) };
const DNS_1123_SUBDOMAIN_PREFIX: Format = Format {
    name: "dns1123SubdomainPrefix",
    pattern: 60,
    check: |text| checks::dns_1123_subdomain(&checks::masked(text)),
};
const DNS_1035_LABEL_PREFIX: Format =
    Format { name: "dns1035LabelPrefix", pattern: 30, check: |text| checks::dns_1035_label(&checks::masked(text)) };
const LABEL_VALUE: Format = Format { name: "labelValue", pattern: 40, check: checks::label_value };
const URI: Format = Format { name: "uri", pattern: 1103, check: checks::uri };
const UUID: Format = Format { name: "uuid", pattern: 70, check: checks::uuid };
const BYTE: Format = Format { name: "byte", pattern: 84, check: checks::byte };
const DATE: Format = Format { name: "date", pattern: 71, check: checks::date };
const DATETIME: Format = Format { name: "datetime", pattern: 71, check: checks::datetime };

const FORMATS: &[Format] = &[
    DNS_1123_LABEL,
    DNS_1123_SUBDOMAIN,
    DNS_1035_LABEL,
    QUALIFIED_NAME,
    DNS_1123_LABEL_PREFIX,
    DNS_1123_SUBDOMAIN_PREFIX,
    DNS_1035_LABEL_PREFIX,
    LABEL_VALUE,
    URI,
    UUID,
    BYTE,
    DATE,
    DATETIME,
];

const fn constant(name: &'static str, call: for<'v> fn(&mut Call<'_, 'v>) -> Result<Value<'v>, EvalError>) -> Function {
    let overloads = &[Overload { parameters: &[], result: KIND }];
    Function { name, style: Global, overloads, cost: cost::one, pattern: None, call }
}

fn validate<'v>(call: &mut Call<'_, 'v>) -> Result<Value<'v>, EvalError> {
    let format = call.opaque::<Format>(0)?;
    let text = call.text(1)?;
    // Some messages show the text.
    call.allocate(text.len().saturating_mul(super::quote::GROWTH).saturating_add(MESSAGE_BYTES))?;
    let errors = (format.check)(text);
    if errors.is_empty() {
        return Ok(Value::Optional(None));
    }
    Ok(Value::some(Value::list(errors.into_iter().map(Value::text).collect())))
}

/// As of a search with the regular expression.
fn check_cost(arguments: &[Value<'_>], _: &Value<'_>) -> u64 {
    let pattern = arguments.first().and_then(Value::downcast).map_or(0, |format: &Format| format.pattern);
    let size = arguments.get(1).map_or(1, Value::cost_size);
    cost::tenth(size.saturating_add(1)).saturating_mul(cost::quarter(pattern))
}

impl Opaque for Format {
    fn kind(&self) -> Type {
        KIND
    }

    fn equals(&self, other: &dyn Opaque) -> bool {
        other.as_any().downcast_ref::<Self>().is_some_and(|other| self.name == other.name)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// What the messages of one text take at most.
const MESSAGE_BYTES: usize = 1024;
