//! `portcullis top`.

use std::io::{self, IsTerminal, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crossterm::cursor::{Hide, MoveTo, Show};
use crossterm::event::{Event, KeyCode, KeyEventKind, KeyModifiers, poll, read};
use crossterm::style::{Attribute, Print, SetAttribute};
use crossterm::terminal::{
    Clear, ClearType, EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode, size,
};
use crossterm::{execute, queue};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::{flag, low_level};

use super::status::{Line, Sources, Watcher};
use crate::exit::{Exit, Usage};
use crate::output::{Look, Output};

#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    sources: Sources,
    /// Seconds from one look to the next.
    #[arg(long, value_name = "SECONDS", default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=3600))]
    every: u64,
    /// Looks once, writes that and ends.
    #[arg(long)]
    once: bool,
}

pub(crate) fn run(args: &Args, out: &mut Output) -> anyhow::Result<Exit> {
    if out.is_json() {
        return Err(Usage("`top` is for people; `status` has the same as JSON".to_owned()).into());
    }
    let mut watcher = Watcher::new(&args.sources)?;
    if args.once {
        for Line(look, text) in watcher.look() {
            let text = look.map_or_else(|| text.clone(), |look| out.paint(look, &text));
            out.line(text)?;
        }
        return Ok(Exit::Well);
    }
    if !io::stdout().is_terminal() || !io::stdin().is_terminal() {
        return Err(Usage("`top` needs a terminal; `--once` does not".to_owned()).into());
    }
    let ended_by = Arc::new(AtomicUsize::new(0));
    for signal in [SIGHUP, SIGINT, SIGTERM] {
        flag::register_usize(signal, Arc::clone(&ended_by), usize::try_from(signal)?)?;
    }
    show(&mut watcher, Duration::from_secs(args.every), &ended_by)?;
    match i32::try_from(ended_by.load(Ordering::Relaxed))? {
        0 => {}
        // The terminal is as it was: whoever sent the signal sees that it did what it does.
        signal => low_level::emulate_default_handler(signal)?,
    }
    Ok(Exit::Well)
}

/// Shows it until somebody has seen enough, or a signal comes.
fn show(watcher: &mut Watcher, every: Duration, ended_by: &AtomicUsize) -> io::Result<()> {
    let mut screen = Screen::enter()?;
    loop {
        let lines = watcher.look();
        let next = Instant::now().checked_add(every);
        screen.draw(&lines)?;
        loop {
            let left = next.map_or(every, |next| next.saturating_duration_since(Instant::now()));
            if ended_by.load(Ordering::Relaxed) != 0 {
                return Ok(());
            }
            if left.is_zero() {
                break;
            }
            if !poll(left.min(SIGNALS_EVERY))? {
                continue;
            }
            match read()? {
                Event::Key(key) if key.kind == KeyEventKind::Press => {
                    let stop = key.modifiers.contains(KeyModifiers::CONTROL) && key.code == KeyCode::Char('c');
                    if stop || matches!(key.code, KeyCode::Char('q') | KeyCode::Esc) {
                        return Ok(());
                    }
                }
                Event::Resize(..) => screen.draw(&lines)?,
                _ => {}
            }
        }
    }
}

/// How often it looks for signals: nobody waits for longer who ends it.
const SIGNALS_EVERY: Duration = Duration::from_millis(200);

/// The whole terminal, given back however this ends.
struct Screen(io::Stdout);

impl Screen {
    fn enter() -> io::Result<Self> {
        let mut screen = Self(io::stdout());
        enable_raw_mode()?;
        execute!(screen.0, EnterAlternateScreen, Hide)?;
        Ok(screen)
    }

    fn draw(&mut self, lines: &[Line]) -> io::Result<()> {
        let (width, height) = size()?;
        let out = &mut self.0;
        queue!(out, MoveTo(0, 0))?;
        let room = usize::from(height).saturating_sub(2);
        for Line(look, text) in lines.iter().take(room) {
            let attribute = match look {
                Some(Look::Strong) => Attribute::Bold,
                Some(Look::Faint) => Attribute::Dim,
                Some(Look::Bad) => Attribute::Reverse,
                _ => Attribute::Reset,
            };
            let text: String = text.chars().take(usize::from(width)).collect();
            queue!(
                out,
                SetAttribute(attribute),
                Print(text),
                SetAttribute(Attribute::Reset),
                Clear(ClearType::UntilNewLine),
                Print("\r\n")
            )?;
        }
        queue!(out, Clear(ClearType::FromCursorDown), MoveTo(0, height.saturating_sub(1)))?;
        let foot = "q quits";
        queue!(out, SetAttribute(Attribute::Dim), Print(foot), SetAttribute(Attribute::Reset))?;
        out.flush()
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // There is nothing better to do with a terminal that does not listen.
        let _ = execute!(self.0, Show, LeaveAlternateScreen);
        let _ = disable_raw_mode();
    }
}
