//! Expressions with what the API server's own libraries make of them: value or failure, and cost.
//!
//! `golden/expressions.jsonl` was written by cel-go 0.26.0 in the environment of k8s.io/apiserver 0.35.0, with the variables of
//! `golden/input.json`, each of them dynamic. `GOLDEN` and `GOLDEN_INPUT` name other files of the same form to compare with.

use std::fmt::Write as _;

use portcullis_cel::{Budget, Environment, EvalError, Expression, POLICY_LIMIT, Scope, Value};
use portcullis_json::Tape;

struct Document<'v>(portcullis_json::Value<'v>);

impl<'v> Scope<'v> for Document<'v> {
    fn resolve(&mut self, name: &str, _: &mut Budget) -> Option<Result<Value<'v>, EvalError>> {
        self.0.get(name).map(|value| Ok(Value::from(value)))
    }
}

fn render(value: &Value<'_>) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(value) => value.to_string(),
        Value::Int(value) => value.to_string(),
        Value::UInt(value) => format!("{value}u"),
        Value::Double(value) => format!("{}d", go_double(*value)),
        Value::Text(text) => serde_json::to_string(&**text).unwrap(),
        Value::Bytes(bytes) => bytes.iter().fold("b".to_owned(), |mut text, byte| {
            write!(text, "{byte:02x}").unwrap();
            text
        }),
        Value::List(list) => {
            let items: Vec<String> = list.items().map(|item| render(&item)).collect();
            format!("[{}]", items.join(","))
        }
        Value::Map(map) => {
            let mut entries: Vec<String> =
                map.entries().map(|(key, value)| format!("{}:{}", render(&key.to_value()), render(&value))).collect();
            entries.sort();
            format!("{{{}}}", entries.join(","))
        }
        Value::Duration(nanos) => format!("dur({nanos})"),
        Value::Timestamp(time) => format!("ts({},{})", time.seconds, time.nanos),
        Value::Optional(None) => "none".to_owned(),
        Value::Optional(Some(value)) => format!("some({})", render(value)),
        Value::Type(name) => format!("type({name})"),
        Value::Opaque(_) => format!("opaque({})", value.type_name()),
    }
}

fn go_double(value: f64) -> String {
    let scientific = format!("{value:e}");
    let Some((digits, exponent)) = scientific.split_once('e') else {
        return scientific.replace("inf", "+Inf").replace("-+", "-");
    };
    let exponent: i32 = exponent.parse().unwrap();
    if (-4..6).contains(&exponent) {
        return value.to_string();
    }
    format!("{digits}e{}{:02}", if exponent < 0 { '-' } else { '+' }, exponent.abs())
}

#[test]
fn everything_is_as_the_api_server_has_it() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden");
    let file = std::env::var("GOLDEN").unwrap_or_else(|_| format!("{folder}/expressions.jsonl"));
    let input = std::env::var("GOLDEN_INPUT").unwrap_or_else(|_| format!("{folder}/input.json"));
    let document = std::fs::read(input).unwrap();
    let mut tape = Tape::new();
    let document = tape.read(&document).unwrap();
    let names: Vec<String> = document.entries().map(|(name, _)| name.to_cow().into_owned()).collect();
    let environment = Environment::new(&names.iter().map(String::as_str).collect::<Vec<_>>());
    let mut differences = String::new();
    let mut count = (0, 0);
    for line in std::fs::read_to_string(&file).unwrap().lines() {
        let case: serde_json::Value = serde_json::from_str(line).unwrap();
        let text = |key: &str| case.get(key).and_then(serde_json::Value::as_str);
        let source = text("e").unwrap();
        count.0 += 1;
        let compiled = Expression::compile(source, &environment);
        let (seen, wanted) = match (&compiled, text("ce")) {
            (Err(_), Some(_)) => continue,
            (Err(fault), None) => (format!("refused: {fault}"), "compiled".to_owned()),
            (Ok(_), Some(refused)) => ("compiled".to_owned(), format!("refused: {refused}")),
            (Ok(expression), None) => {
                let mut budget = Budget::new(POLICY_LIMIT, None);
                let result = expression.evaluate(&mut Document(document), &mut budget);
                let result = match (&result, text("re")) {
                    (Ok(value), _) => render(value),
                    (Err(_), Some(_)) => "failure".to_owned(),
                    (Err(error), None) => format!("failure: {error}"),
                };
                let wanted = text("v").unwrap_or("failure");
                let cost = case.get("c").and_then(serde_json::Value::as_u64).unwrap();
                (format!("{result} at {}", budget.spent()), format!("{wanted} at {cost}"))
            }
        };
        if seen != wanted {
            count.1 += 1;
            writeln!(
                differences,
                "{source}\n    seen   {seen}\n    wanted {wanted} {}",
                text("re").unwrap_or_default()
            )
            .unwrap();
        }
    }
    assert!(differences.is_empty(), "{} of {} differ:\n{differences}", count.1, count.0);
}
