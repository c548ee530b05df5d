//! What the program writes: for people, with colours on a terminal, or JSON.

use std::fmt::Display;
use std::io::{self, BufWriter, IsTerminal, Write};

use anstyle::{AnsiColor, Style};
use clap::ValueEnum;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;

/// For whom it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people.
    Human,
    /// For machines.
    Json,
}

/// When colours are used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Colour {
    /// On a terminal, unless `NO_COLOR` is set.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// What a piece of text is, and so how it looks.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Look {
    /// Something is wrong, or denied.
    Bad,
    /// Something is doubtful.
    Doubtful,
    /// Something is well, or allowed.
    Good,
    /// What the eye should find first.
    Strong,
    /// What is there for those who want to know.
    Faint,
}

/// Where results go (stdout) and messages (stderr).
pub(crate) struct Output {
    format: Format,
    out: Box<dyn Write>,
    colour_out: bool,
    colour_err: bool,
}

impl Output {
    /// To the terminal, or where the shell sends it.
    pub(crate) fn to_terminal(format: Format, colour: Colour) -> Self {
        let coloured = |is_terminal: bool| match colour {
            Colour::Always => true,
            Colour::Never => false,
            // "when present and not an empty string (regardless of its value), prevents the addition of ANSI color", no-color.org.
            Colour::Auto => is_terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()),
        };
        let (stdout, stderr) = (io::stdout(), io::stderr());
        Self {
            format,
            colour_out: format == Format::Human && coloured(stdout.is_terminal()),
            colour_err: coloured(stderr.is_terminal()),
            out: Box::new(BufWriter::new(stdout.lock())),
        }
    }

    /// Whether machines read it.
    pub(crate) fn is_json(&self) -> bool {
        self.format == Format::Json
    }

    /// One line of results for people. In JSON, use [`Output::json`].
    pub(crate) fn line(&mut self, text: impl Display) -> anyhow::Result<()> {
        Ok(writeln!(self.out, "{text}")?)
    }

    /// Results as they are: a file that was made.
    pub(crate) fn raw(&mut self, bytes: &[u8]) -> anyhow::Result<()> {
        Ok(self.out.write_all(bytes)?)
    }

    /// The result for machines, and a line feed.
    pub(crate) fn json(&mut self, value: &impl Serialize) -> anyhow::Result<()> {
        serde_json::to_writer_pretty(&mut self.out, value)?;
        self.line("")
    }

    /// Text as it should look among the results.
    pub(crate) fn paint(&self, look: Look, text: impl Display) -> String {
        paint(self.colour_out, look, text)
    }

    /// Something that those who started the program should know, apart from its results.
    pub(crate) fn note(&self, text: impl Display) {
        eprintln!("{}: {text}", paint(self.colour_err, Look::Doubtful, "note"));
    }

    /// An error, apart from the results.
    pub(crate) fn error(&self, error: &anyhow::Error) {
        eprintln!("{}: {error:#}", paint(self.colour_err, Look::Bad, "error"));
    }

    /// Hands on what was written so far.
    pub(crate) fn flush(&mut self) -> anyhow::Result<()> {
        Ok(self.out.flush()?)
    }

    /// A bar for work of so many steps (`unit`: what one step is), drawn on stderr only where that is a terminal.
    pub(crate) fn progress(&self, steps: u64, unit: &str) -> ProgressBar {
        if !io::stderr().is_terminal() {
            return ProgressBar::hidden();
        }
        let bar = ProgressBar::with_draw_target(Some(steps), ProgressDrawTarget::stderr());
        let line = format!("{{bar:30}} {{human_pos}} of {{human_len}} {unit}, {{eta}} left");
        // The template is fixed but for the unit, which has no braces.
        let style = ProgressStyle::with_template(&line).unwrap_or_else(|_| ProgressStyle::default_bar());
        bar.with_style(style)
    }
}

fn paint(coloured: bool, look: Look, text: impl Display) -> String {
    if !coloured {
        return text.to_string();
    }
    let style = match look {
        Look::Bad => AnsiColor::Red.on_default().bold(),
        Look::Doubtful => AnsiColor::Yellow.on_default().bold(),
        Look::Good => AnsiColor::Green.on_default(),
        Look::Strong => Style::new().bold(),
        Look::Faint => Style::new().dimmed(),
    };
    format!("{style}{text}{style:#}")
}
