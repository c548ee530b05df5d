//! Functions that regorus has as OPA does.

use std::cell::RefCell;
use std::num::NonZeroU32;
use std::time::Instant;

use regorus::utils::limits::ExecutionTimerConfig;
use regorus::{Engine, Value};

use super::{Context, Done, Stop};

/// The longest text that is handed over, in bytes: these functions are not stopped half-way.
const MAX_TEXT: usize = 1 << 20;

thread_local! {
    static ENGINE: RefCell<Option<Engine>> = const { RefCell::new(None) };
}

/// Each function has a rule that calls it with what is in the input.
const RULES: &str = r#"package calls
r1 := bits.and(input[0], input[1])
r2 := bits.negate(input[0])
r3 := bits.or(input[0], input[1])
r4 := bits.rsh(input[0], input[1])
r5 := bits.xor(input[0], input[1])
r6 := json.patch(input[0], input[1])
r7 := time.add_date(input[0], input[1], input[2], input[3])
r8 := time.clock(input[0])
r9 := time.date(input[0])
r10 := time.diff(input[0], input[1])
r11 := time.format(input[0])
r13 := time.parse_ns(input[0], input[1])
r14 := time.parse_rfc3339_ns(input[0])
r15 := time.weekday(input[0])
r16 := units.parse(input[0])
r17 := units.parse_bytes(input[0])
r18 := urlquery.decode(input[0])
r19 := urlquery.decode_object(input[0])
r20 := urlquery.encode(input[0])
r21 := urlquery.encode_object(input[0])
r22 := uuid.parse(input[0])
r23 := yaml.is_valid(input[0])
r24 := yaml.unmarshal(input[0])
"#;

/// Asks regorus. What it calls an error is undefined, as for OPA.
pub(super) fn call(context: &mut Context, name: &str, arguments: &[Value]) -> Done {
    for argument in arguments {
        if let Value::String(text) = argument
            && text.len() > MAX_TEXT
        {
            return Err(Stop::Undefined);
        }
    }
    context.limits.look()?;
    let wanted = format!(" := {name}(");
    let Some(rule) = RULES.lines().find_map(|line| line.split_once(&wanted).map(|(rule, _)| rule)) else {
        return Err(Stop::Undefined);
    };
    let left = context.limits.until().saturating_duration_since(Instant::now());
    let value = ENGINE.with_borrow_mut(|slot| {
        if slot.is_none() {
            let mut engine = Engine::new();
            engine.add_policy("calls.rego".to_owned(), RULES.to_owned()).ok()?;
            *slot = Some(engine);
        }
        let engine = slot.as_mut()?;
        engine.set_execution_timer_config(ExecutionTimerConfig { limit: left, check_interval: NonZeroU32::MIN });
        engine.set_input(Value::from(arguments.to_vec()));
        let value = engine.eval_rule(format!("data.calls.{rule}")).ok();
        engine.set_input(Value::Null);
        value
    });
    match value {
        Some(Value::Undefined) | None => {
            context.limits.look()?;
            Err(Stop::Undefined)
        }
        Some(value) => {
            let size = match &value {
                Value::String(text) => text.len(),
                Value::Array(items) => items.len().saturating_mul(48),
                Value::Object(entries) => entries.len().saturating_mul(96),
                _ => 0,
            };
            context.limits.allocate(size)?;
            Ok(value)
        }
    }
}
