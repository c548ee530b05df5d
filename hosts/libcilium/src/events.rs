//! The events of `tracing` as lines: nobody else listens to them here.

use std::fmt::{self, Write};
use std::sync::Once;

use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

use crate::say;

/// Turns events into lines from now on: warnings and errors always, the rest down to debug if that is wanted.
pub(crate) fn listen() {
    static ONCE: Once = Once::new();
    // If somebody else listens already, the events are theirs.
    ONCE.call_once(|| drop(tracing::subscriber::set_global_default(Lines)));
}

struct Lines;

impl Subscriber for Lines {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= Level::DEBUG
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        // What is finer is of each frame, and must cost nothing.
        Some(LevelFilter::DEBUG)
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        match *event.metadata().level() {
            Level::ERROR => say::error(&text_of(event)),
            Level::WARN => say::warning(&text_of(event)),
            _ => say::debug(|| text_of(event)),
        }
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

fn text_of(event: &Event<'_>) -> String {
    let mut text = Text::default();
    event.record(&mut text);
    text.message + &text.fields
}

/// `message: field=value, other=value`
#[derive(Default)]
struct Text {
    message: String,
    fields: String,
}

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // Writing to a text does not fail.
        let _ = match field.name() {
            "message" => write!(self.message, "{value:?}"),
            name => {
                let before = if self.fields.is_empty() { ": " } else { ", " };
                write!(self.fields, "{before}{name}={value:?}")
            }
        };
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    /// Keeps what the lines would be.
    struct Kept(Arc<Mutex<Vec<String>>>);

    impl Subscriber for Kept {
        fn enabled(&self, metadata: &Metadata<'_>) -> bool {
            Lines.enabled(metadata)
        }

        fn new_span(&self, span: &Attributes<'_>) -> Id {
            Lines.new_span(span)
        }

        fn record(&self, _: &Id, _: &Record<'_>) {}

        fn record_follows_from(&self, _: &Id, _: &Id) {}

        fn event(&self, event: &Event<'_>) {
            self.0.lock().unwrap_or_else(|error| error.into_inner()).push(text_of(event));
        }

        fn enter(&self, _: &Id) {}

        fn exit(&self, _: &Id) {}
    }

    #[test]
    fn an_event_is_one_line_with_its_fields() {
        let kept = Arc::default();
        tracing::subscriber::with_default(Kept(Arc::clone(&kept)), || {
            tracing::warn!(path = %"/a", count = 3, "it is {}", "so");
            tracing::trace!("of each frame");
            tracing::debug!("no more");
        });
        assert_eq!(*kept.lock().unwrap_or_else(|error| error.into_inner()), ["it is so: path=/a, count=3", "no more"]);
    }
}
