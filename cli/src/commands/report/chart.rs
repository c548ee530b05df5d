//! Denials over time, as a drawing.

use std::fmt::Write;

use jiff::Timestamp;

use super::gather::Sums;
use super::html::Number;

/// The drawing: a bar for each step. Every bar tells its figures when pointed at.
pub(super) fn draw(step: i64, bars: &[(i64, Sums)]) -> String {
    let mut out = String::new();
    let most = bars.iter().map(|(_, sums)| height(sums)).max().unwrap_or_default();
    let top = nice(most);
    let y = |value: u64| BOTTOM - scale(value, top) * (BOTTOM - TOP);
    let wide = (RIGHT - LEFT) / bars.len().max(1) as f64;
    let _ = write!(
        out,
        "<svg class=chart viewBox=\"0 0 1000 240\" role=img aria-label=\"Denied and watched requests over time\">"
    );
    for value in [0, top / 2, top] {
        let at = y(value);
        let _ = write!(
            out,
            "<line x1={LEFT} x2={RIGHT} y1={at:.1} y2={at:.1} class=grid /><text x={:.1} y={:.1} text-anchor=end>{}</text>",
            LEFT - 8.0,
            at + 4.0,
            Number(value)
        );
    }
    for (n, (time, sums)) in bars.iter().enumerate() {
        let x = LEFT + wide * n as f64;
        if height(sums) > 0 {
            let gap = (wide * 0.15).min(2.0);
            let (denied, both) = (y(sums.denied), y(height(sums)));
            let _ = write!(
                out,
                "<g><title>{}: {} denied, {} watched, {} allowed</title>",
                moment(*time, step),
                Number(sums.denied),
                Number(sums.audited),
                Number(sums.allowed)
            );
            for (class, from, to) in [("denied", denied, BOTTOM), ("audit", both, denied)] {
                if to > from {
                    let _ = write!(
                        out,
                        "<rect class={class} x={:.2} y={from:.1} width={:.2} height={:.1} />",
                        x + gap / 2.0,
                        wide - gap,
                        to - from
                    );
                }
            }
            out.push_str("</g>");
        }
    }
    let labels = 5.min(bars.len());
    for label in 0..labels {
        let n = if labels > 1 { label * bars.len().saturating_sub(1) / (labels - 1) } else { 0 };
        if let Some((time, _)) = bars.get(n) {
            let x = LEFT + wide * (n as f64 + 0.5);
            let anchor = if label == 0 {
                "start"
            } else if label + 1 == labels {
                "end"
            } else {
                "middle"
            };
            let x = if label == 0 {
                LEFT
            } else if label + 1 == labels {
                RIGHT
            } else {
                x
            };
            let _ = write!(out, "<text x={x:.1} y=228 text-anchor={anchor}>{}</text>", moment(*time, step));
        }
    }
    out.push_str("</svg>");
    out
}

fn height(sums: &Sums) -> u64 {
    sums.denied.saturating_add(sums.audited)
}

fn scale(value: u64, top: u64) -> f64 {
    if top == 0 { 0.0 } else { value as f64 / top as f64 }
}

/// The next number that is 1, 2 or 5 with zeros, or 4 at least, so that half of it is whole.
fn nice(most: u64) -> u64 {
    let mut unit = 1_u64;
    loop {
        for step in [2, 4, 10] {
            let candidate = unit.saturating_mul(step);
            if candidate >= most || candidate == u64::MAX {
                return candidate;
            }
        }
        unit = unit.saturating_mul(10);
    }
}

/// A time, as exactly as the steps are. In UTC, as the log.
pub(super) fn moment(second: i64, step: i64) -> String {
    let Ok(time) = Timestamp::from_second(second) else { return String::new() };
    let text = time.to_string();
    let len = if step >= 86_400 {
        10
    } else if step >= 60 {
        16
    } else {
        19
    };
    text.get(..len).unwrap_or(&text).replace('T', " ")
}

const LEFT: f64 = 60.0;
const RIGHT: f64 = 990.0;
const TOP: f64 = 12.0;
const BOTTOM: f64 = 206.0;
