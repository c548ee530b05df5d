//! Programs with what OPA answers to them: `opa/*.jsonl`, one program a line. The answers were asked of OPA 1.22.

use std::time::{Duration, Instant};

use portcullis_rego::{Data, Dialect, Input, Module, Program, Value, read_serde};
use serde_json::{Value as Json, json};

/// Numbers as floats: OPA keeps how a number was written.
fn normalize(value: &Json) -> Json {
    match value {
        Json::Number(number) => json!(number.as_f64()),
        Json::Array(items) => items.iter().map(normalize).collect(),
        Json::Object(entries) => entries.iter().map(|(key, value)| (key.clone(), normalize(value))).collect(),
        other => other.clone(),
    }
}

fn answer(case: &Json) -> Json {
    let modules: Vec<Module<'_>> = case["modules"]
        .as_object()
        .unwrap()
        .iter()
        .map(|(name, text)| Module { name, text: text.as_str().unwrap() })
        .collect();
    let dialect = if case["v1"] == json!(true) { Dialect::V1 } else { Dialect::V0 };
    let program = match Program::compile(&modules, dialect) {
        Ok(program) => program,
        Err(faults) => return json!({"refused": faults[0].code, "row": faults[0].row}),
    };
    let program = program.with_data(&Data::from_value(read_serde(&case["data"])));
    let input = match case.get("input") {
        Some(input) => Input::from_value(read_serde(input)),
        None => Input::from_value(Value::Undefined),
    };
    match program.evaluate(case["rule"].as_str().unwrap(), &input, Instant::now() + Duration::from_secs(60)) {
        Ok(Some(value)) => json!({"value": normalize(&serde_json::to_value(&value).unwrap())}),
        Ok(None) => json!({"undefined": true}),
        Err(error) => json!({"fails": error.to_string().contains("eval_conflict_error")}),
    }
}

#[test]
fn programs_are_answered_as_by_opa() {
    let mut wrong = Vec::new();
    let mut count = 0;
    let lines =
        [include_str!("opa/programs.jsonl"), include_str!("opa/more.jsonl"), include_str!("opa/functions.jsonl")];
    for line in lines.iter().flat_map(|file| file.lines()) {
        let case: Json = serde_json::from_str(line).unwrap();
        let ours = answer(&case);
        let expected = match &case["expect"] {
            expect if expect.get("value").is_some() => json!({"value": normalize(&expect["value"])}),
            expect => expect.clone(),
        };
        count += 1;
        if ours != expected {
            wrong.push(format!("{}: OPA {expected}, here {ours}", case["id"]));
        }
    }
    assert!(count > 900, "{count}");
    assert!(wrong.is_empty(), "{} of {count}:\n{}", wrong.len(), wrong.join("\n"));
}
